import type { WireBuffer } from '../../base/wire.ts'
import { HpackField, judge, linePrefix, STATIC_ENTRIES } from './hpack-field.ts'
import { FIRST_DYNAMIC_INDEX, type FieldName, fieldNameAt, KIND_CONTENT_LENGTH, KIND_PLAIN, STATIC_NAMES } from './hpack-static.ts'
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES, HpackTable } from './hpack-table.ts'
import { huffmanDecode, huffmanRoom } from './huffman.ts'

/** Five bytes behind the prefix are enough for any index, length or size; what they can say stays exact in a double. */
const MAX_INTEGER_SHIFT = 28

const FIRST_SCRATCH_BYTES = 4096
const KEPT_SCRATCH_BYTES = 256 * 1024
const CR = 13
const LF = 10

/** Where strings are put together. One per thread: a block is decoded in one go. */
let scratch = Buffer.allocUnsafeSlow(FIRST_SCRATCH_BYTES) as WireBuffer

function needScratch(bytes: number): void {
  if (scratch.length < bytes) scratch = Buffer.allocUnsafeSlow(Math.max(bytes, scratch.length * 2)) as WireBuffer
}

/**
 * HPACK decoding (RFC 7541) for one direction of one connection. Every field block of the connection must pass through, in order and
 * whole, or the dynamic table falls out of step:
 *
 *   decoder.begin(bytes, start, end)
 *   for (let field = decoder.next(); field !== null; field = decoder.next()) ...
 *   if (decoder.hasFailed) ...       // COMPRESSION_ERROR for the connection
 *
 * A field is valid until the next call. Work and memory are linear in the bytes of the block: an index costs the same whatever it refers
 * to, and who has read enough sets `isSkipping`, after which only the table is kept in step.
 */
export class HpackDecoder {
  readonly #table = new HpackTable<HpackField>(DEFAULT_TABLE_BYTES)
  readonly #maxTableBytes: number
  /** What a size update may ask for now. */
  #allowedTableBytes: number
  /** The table is larger than the limit since it came into force: the next block must begin with a size update (section 4.2). */
  #needsUpdate = false
  #bytes: WireBuffer = scratch
  #at = 0
  #end = 0
  #mayUpdate = false
  /** Given out for literals that do not go to the table. */
  readonly #literal = new HpackField(STATIC_NAMES[0] as FieldName, '')
  /** The string read last: stringBytes[start, end). */
  #stringBytes: WireBuffer = scratch
  #stringStart = 0
  #stringEnd = 0

  /** The block cannot be decoded, and nothing after it. */
  hasFailed = false
  /** Fields that do not go to the table are passed over without being read; what `next` gives out means nothing then. */
  isSkipping = false

  /** `maxTableBytes`: the SETTINGS_HEADER_TABLE_SIZE that we send. It is in force once the other side has acknowledged it. */
  constructor(maxTableBytes = DEFAULT_TABLE_BYTES) {
    this.#maxTableBytes = maxTableBytes
    this.#allowedTableBytes = Math.max(maxTableBytes, DEFAULT_TABLE_BYTES)
  }

  /** Our SETTINGS frame was acknowledged: from the next block on the limit holds. */
  settingsAcknowledged(): void {
    this.#allowedTableBytes = this.#maxTableBytes
    this.#needsUpdate = this.#table.maxBytes > this.#maxTableBytes
  }

  get tableBytes(): number {
    return this.#table.usedBytes
  }

  begin(bytes: WireBuffer, start: number, end: number): void {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#mayUpdate = true
    this.isSkipping = false
    if (scratch.length > KEPT_SCRATCH_BYTES) scratch = Buffer.allocUnsafeSlow(FIRST_SCRATCH_BYTES) as WireBuffer
  }

  next(): HpackField | null {
    if (this.hasFailed) return null
    while (this.#at < this.#end) {
      const first = this.#bytes[this.#at++] as number
      if ((first & 0xe0) === 0x20) {
        if (!this.#updateSize(first)) return this.#fail()
        continue
      }
      if (this.#mayUpdate) {
        if (this.#needsUpdate) return this.#fail()
        this.#mayUpdate = false
      }
      if (first >= 0x80) return this.#indexed(first)
      return first >= 0x40 ? this.#literalField(first, 0x3f, true) : this.#literalField(first, 0x0f, false)
    }
    return null
  }

  #fail(): null {
    this.hasFailed = true
    return null
  }

  /** Section 6.1. */
  #indexed(first: number): HpackField | null {
    const index = first < 0xff ? first & 0x7f : this.#integer(0x7f)
    if (index >= FIRST_DYNAMIC_INDEX) return this.#table.at(index - FIRST_DYNAMIC_INDEX) ?? this.#fail()
    return index > 0 ? (STATIC_ENTRIES[index - 1] as HpackField) : this.#fail()
  }

  /** Section 6.3: only at the beginning of a block, and within what we allow. */
  #updateSize(first: number): boolean {
    if (!this.#mayUpdate) return false
    const size = (first & 0x1f) < 0x1f ? first & 0x1f : this.#integer(0x1f)
    if (size < 0 || size > this.#allowedTableBytes) return false
    this.#table.resize(size)
    this.#needsUpdate = false
    return true
  }

  /** Section 6.2. */
  #literalField(first: number, prefixMask: number, isInserted: boolean): HpackField | null {
    const index = (first & prefixMask) < prefixMask ? first & prefixMask : this.#integer(prefixMask)
    if (index < 0) return this.#fail()
    if (this.isSkipping && !isInserted) {
      return (index !== 0 || this.#skipString()) && this.#skipString() ? this.#literal : this.#fail()
    }
    const name = index === 0 ? this.#literalName() : this.#nameAt(index)
    if (name === null) return this.#fail()
    return isInserted && this.isSkipping ? this.#insertUnread(name) : this.#readValue(name, isInserted)
  }

  #nameAt(index: number): FieldName | null {
    if (index < FIRST_DYNAMIC_INDEX) return STATIC_NAMES[index - 1] as FieldName
    const field = this.#table.at(index - FIRST_DYNAMIC_INDEX)
    return field === null ? null : field.name
  }

  #literalName(): FieldName | null {
    if (!this.#readString(0)) return null
    return fieldNameAt(this.#stringBytes, this.#stringStart, this.#stringEnd)
  }

  /** The line is made in one piece: the text of a head is put together from lines, and reading it walks every piece. */
  #readValue(name: FieldName, isInserted: boolean): HpackField | null {
    const prefix = linePrefix(name)
    const valueAt = prefix.length
    if (!this.#readString(valueAt)) return this.#fail()
    const length = this.#stringEnd - this.#stringStart
    const field = isInserted ? new HpackField(name, '') : this.#literal
    field.name = name
    field.sizeBytes = name.text.length + length + ENTRY_OVERHEAD_BYTES
    judge(field, this.#stringBytes, this.#stringStart, this.#stringEnd)
    const { kind } = name
    if (kind === KIND_PLAIN || kind === KIND_CONTENT_LENGTH) {
      field.value = ''
    } else {
      field.value = this.#stringBytes.latin1Slice(this.#stringStart, this.#stringEnd)
    }
    field.line = this.#makeLine(prefix)
    if (isInserted) this.#table.insert(field)
    return field
  }

  #makeLine(prefix: string): string {
    const valueAt = prefix.length
    const length = this.#stringEnd - this.#stringStart
    needScratch(valueAt + length + 2)
    const out = scratch
    for (let i = 0; i < valueAt; i++) out[i] = prefix.charCodeAt(i)
    if (this.#stringBytes === this.#bytes) {
      const bytes = this.#bytes
      const from = this.#stringStart - valueAt
      if (length > 32) bytes.copy(out, valueAt, this.#stringStart, this.#stringEnd)
      else for (let i = valueAt; i < valueAt + length; i++) out[i] = bytes[from + i] as number
    }
    out[valueAt + length] = CR
    out[valueAt + length + 1] = LF
    return out.latin1Slice(0, valueAt + length + 2)
  }

  /**
   * The same when nobody wants the field now. No line is made: its name may be a long one of the table, and a block of two-byte fields
   * that refer to it would make us copy that name for each.
   */
  #insertUnread(name: FieldName): HpackField | null {
    if (!this.#readString(0)) return this.#fail()
    const value = this.#stringBytes.latin1Slice(this.#stringStart, this.#stringEnd)
    const field = new HpackField(name, value)
    judge(field, this.#stringBytes, this.#stringStart, this.#stringEnd)
    this.#table.insert(field)
    return field
  }

  /** Reads a string (section 5.2). If it is coded it is decoded into the scratch from `at` on. */
  #readString(at: number): boolean {
    if (this.#at >= this.#end) return false
    const first = this.#bytes[this.#at++] as number
    const length = (first & 0x7f) < 0x7f ? first & 0x7f : this.#integer(0x7f)
    const start = this.#at
    const end = start + length
    if (length < 0 || end > this.#end) return false
    this.#at = end
    if (first < 0x80) {
      this.#stringBytes = this.#bytes
      this.#stringStart = start
      this.#stringEnd = end
      return true
    }
    needScratch(at + huffmanRoom(length))
    this.#stringBytes = scratch
    this.#stringStart = at
    this.#stringEnd = huffmanDecode(this.#bytes, start, end, scratch, at)
    return this.#stringEnd >= 0
  }

  #skipString(): boolean {
    if (this.#at >= this.#end) return false
    const first = this.#bytes[this.#at++] as number
    const length = (first & 0x7f) < 0x7f ? first & 0x7f : this.#integer(0x7f)
    if (length < 0 || this.#at + length > this.#end) return false
    this.#at += length
    return true
  }

  /** The rest of an integer whose prefix is all ones (section 5.1). -1: too long or cut off. */
  #integer(prefix: number): number {
    const bytes = this.#bytes
    let value = prefix
    for (let shift = 0; shift <= MAX_INTEGER_SHIFT; shift += 7) {
      if (this.#at >= this.#end) return -1
      const byte = bytes[this.#at++] as number
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return -1
  }
}
