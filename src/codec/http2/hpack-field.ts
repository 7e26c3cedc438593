import type { WireBuffer } from '../../base/wire.ts'
import { CHAR_CLASS, CHAR_TARGET, CHAR_TOKEN, CHAR_VALUE } from '../chars.ts'
import { isDigits, isHostAt } from '../http1/head.ts'
import {
  type FieldName,
  KIND_AUTHORITY,
  KIND_CONTENT_LENGTH,
  KIND_COOKIE,
  KIND_HOST,
  KIND_MALFORMED,
  KIND_METHOD,
  KIND_PATH,
  KIND_PLAIN,
  KIND_PROTOCOL,
  KIND_SCHEME,
  KIND_STATUS,
  KIND_TE,
  STATIC_FIELDS,
  STATIC_NAMES,
} from './hpack-static.ts'
import { ENTRY_OVERHEAD_BYTES, type TableEntry } from './hpack-table.ts'

const SP = 32
const HTAB = 9
const MAX_METHOD_BYTES = 32

/** A field as the decoder gives it out: judged once, when it is read, however often an index refers to it later. */
export class HpackField implements TableEntry {
  name: FieldName
  value: string
  /** "name: value CRLF"; "host: value CRLF" for :authority. '' until `lineOf` is asked, and for other pseudo fields. */
  line = ''
  sizeBytes: number
  /** Neither name nor value make a message malformed, whatever message it is. */
  isValid = false
  /** The number in Content-Length or :status. */
  number = 0

  constructor(name: FieldName, value: string) {
    this.name = name
    this.value = value
    this.sizeBytes = name.text.length + value.length + ENTRY_OVERHEAD_BYTES
  }
}

/** The field line as HTTP/1 has it. */
export function lineOf(field: HpackField): string {
  if (field.line === '') field.line = `${linePrefix(field.name)}${field.value}\r\n`
  return field.line
}

/** What the line of a field with this name begins with. */
export function linePrefix(name: FieldName): string {
  return name.kind === KIND_AUTHORITY ? 'host: ' : name.prefix
}

/** Notes whether the value at bytes[start, end) is one the name may have, and the number in it (RFC 9113 sections 8.2.1 and 8.3). */
export function judge(field: HpackField, bytes: WireBuffer, start: number, end: number): void {
  field.number = 0
  switch (field.name.kind) {
    case KIND_PLAIN:
    case KIND_COOKIE:
      field.isValid = isFieldValueAt(bytes, start, end)
      return
    case KIND_HOST:
      field.isValid = isHostAt(bytes, start, end)
      return
    case KIND_AUTHORITY:
      // RFC 9110 section 4.2.1: an http URI without a host is refused.
      field.isValid = end > start && bytes[start] !== COLON && isHostAt(bytes, start, end)
      return
    case KIND_PATH:
      field.isValid = end > start && areAll(bytes, start, end, CHAR_TARGET)
      return
    case KIND_METHOD:
      field.isValid = end > start && end - start <= MAX_METHOD_BYTES && areAll(bytes, start, end, CHAR_TOKEN)
      return
    case KIND_SCHEME:
    case KIND_PROTOCOL:
      field.isValid = end > start && areAll(bytes, start, end, CHAR_TOKEN)
      return
    case KIND_STATUS:
      field.isValid = end - start === 3 && isDigits(bytes, start, end)
      if (field.isValid) field.number = numberAt(bytes, start, end)
      return
    case KIND_CONTENT_LENGTH:
      // Up to 15 digits stay exact in a double.
      field.isValid = end > start && end - start <= 15 && isDigits(bytes, start, end)
      if (field.isValid) field.number = numberAt(bytes, start, end)
      return
    case KIND_TE:
      field.isValid = bytes.latin1Slice(start, end).toLowerCase() === 'trailers'
      return
    case KIND_MALFORMED:
      field.isValid = false
  }
}

const COLON = 58

function isFieldValueAt(bytes: WireBuffer, start: number, end: number): boolean {
  if (start === end) return true
  if (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number)) return false
  return areAll(bytes, start, end, CHAR_VALUE)
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

function areAll(bytes: WireBuffer, start: number, end: number, bit: number): boolean {
  for (let i = start; i < end; i++) if (((CHAR_CLASS[bytes[i] as number] as number) & bit) === 0) return false
  return true
}

function numberAt(bytes: WireBuffer, start: number, end: number): number {
  let value = 0
  for (let i = start; i < end; i++) value = value * 10 + (bytes[i] as number) - 48
  return value
}

/** The static table, index 1 first. */
export const STATIC_ENTRIES: readonly HpackField[] = STATIC_FIELDS.map(([, value], i) => {
  const field = new HpackField(STATIC_NAMES[i] as FieldName, value)
  const bytes = Buffer.from(value, 'latin1') as WireBuffer
  judge(field, bytes, 0, bytes.length)
  lineOf(field)
  return field
})
