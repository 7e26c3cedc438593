import type { ByteWriter } from '../byte-writer.ts'
import { FIRST_DYNAMIC_INDEX, STATIC_FIELDS } from './hpack-static.ts'
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES, HpackTable, type TableEntry } from './hpack-table.ts'
import { huffmanEncode, huffmanLength } from './huffman.ts'

/** How values of a name are sent. */
const POLICY_INDEX = 0
/** Nearly every value is new: looking for it costs more than it brings. */
const POLICY_LITERAL = 1
/** Secrets: no table anywhere may keep them, and whoever sends them on is told so (RFC 7541 section 7.1.3). */
const POLICY_NEVER = 2
/** Has no place in HTTP/2 (RFC 9113 section 8.2.2), or is written by the caller. */
const POLICY_DROP = 3
/** TE: only `trailers` may be said (RFC 9113 section 8.2.2). */
const POLICY_TRAILERS = 4

/** A path may hold secrets in its query, and there are too many of them. */
const LITERAL_NAMES = [':path', 'x-request-id', 'traceparent', 'x-b3-traceid', 'x-b3-spanid', 'x-correlation-id']
const NEVER_NAMES = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie']
const DROP_NAMES = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'host',
  'content-length',
]

const INDEXED = 0x80
const INSERTED = 0x40
const NEVER = 0x10
const LITERAL = 0x00

/** What the encoder knows of a name. Shared by the connections of a thread. */
class OutputName {
  readonly lower: string
  readonly hash: number
  readonly policy: number
  /** The first index of the static table with this name; 0: none. */
  readonly staticIndex: number
  /** A value that the static table has with it, and its index. */
  readonly staticValue: string
  readonly staticValueIndex: number

  constructor(lower: string, hash: number) {
    this.lower = lower
    this.hash = hash
    this.policy = policyOf(lower)
    this.staticIndex = STATIC_FIELDS.findIndex(([name]) => name === lower) + 1
    const full = STATIC_FIELDS.findIndex(([name, value]) => name === lower && value !== '')
    this.staticValue = full === -1 ? '' : (STATIC_FIELDS[full]?.[1] as string)
    this.staticValueIndex = full + 1
  }
}

function policyOf(lower: string): number {
  if (lower === 'te') return POLICY_TRAILERS
  if (LITERAL_NAMES.includes(lower)) return POLICY_LITERAL
  if (NEVER_NAMES.includes(lower)) return POLICY_NEVER
  return DROP_NAMES.includes(lower) ? POLICY_DROP : POLICY_INDEX
}

/** An entry of the dynamic table of this side. */
class OutputEntry implements TableEntry {
  readonly name: OutputName
  readonly value: string
  readonly hash: number
  readonly sizeBytes: number
  /** See HpackTable. */
  number = 0
  /** Name, colon and value as they stood in the text of a message; '' when they came apart. */
  line = ''

  constructor(name: OutputName, value: string, hash: number) {
    this.name = name
    this.value = value
    this.hash = hash
    this.sizeBytes = name.lower.length + value.length + ENTRY_OVERHEAD_BYTES
  }
}

const NAME_SLOTS = 1024
/** Names of this thread by hash; each takes the place of the one before it. */
const names: (OutputName | null)[] = new Array(NAME_SLOTS).fill(null)

/** Folds case: among the characters of a token OR-ing 32 joins only letters, and the name itself is compared anyway. */
function hashName(text: string, start: number, end: number): number {
  let hash = end - start
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (text.charCodeAt(i) | 32)) | 0
  return hash ^ (hash >>> 15)
}

function hashValue(hash: number, text: string, start: number, end: number): number {
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return (hash ^ (hash >>> 13)) | 0
}

function outputName(text: string, start: number, end: number): OutputName {
  const hash = hashName(text, start, end)
  const slot = hash & (NAME_SLOTS - 1)
  const known = names[slot] as OutputName | null
  if (known !== null && known.hash === hash && isName(text, start, end, known.lower)) return known
  const made = new OutputName(flat(text.slice(start, end).toLowerCase()), hash)
  names[slot] = made
  return made
}

function isName(text: string, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    let code = text.charCodeAt(start + i)
    if (code >= 65 && code <= 90) code |= 32
    if (code !== lower.charCodeAt(i)) return false
  }
  return true
}

/** A copy that does not keep the text alive from which it was sliced. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/**
 * Hashes of lines sent lately, which a connection remembers: buckets of four, the newest first. With one place per bucket two lines that
 * come with every message could drive each other out for ever.
 */
const RECENT_BUCKETS = 32
const BUCKET_SHIFT = 2
/** Beyond this many places in a block the hash alone finds entries. */
const HINTS = 32
/** Groups of lines that a connection remembers as a whole: an endpoint's connection carries requests of many clients. */
const REMEMBERED_GROUPS = 64

/**
 * HPACK encoding (RFC 7541) for one direction of one connection.
 *
 * A line enters the dynamic table when it is sent for the second time: values that differ from message to message never get there. Most
 * messages of a connection resemble the one before, so each place of a block remembers the entry it had last time and compares with that
 * first. Secrets are never indexed.
 */
export class HpackEncoder {
  readonly #table = new HpackTable<OutputEntry>(DEFAULT_TABLE_BYTES)
  /** What the table was made smaller to since the last block, and whether the other side must be told. */
  #smallestBytes = DEFAULT_TABLE_BYTES
  #mustUpdate = false
  /** Hashes of lines that were sent without being in the table. Made with the first. */
  #recent: Int32Array | null = null
  readonly #hints: (OutputEntry | null)[] = []
  #place = 0
  /** By their text, the entries of lines that were sent together. */
  #groups: Map<string, OutputEntry[]> | null = null
  /** Entries of the lines of a group while it is written; null: none is. */
  #group: OutputEntry[] | null = null

  get tableBytes(): number {
    return this.#table.usedBytes
  }

  /** The other side's SETTINGS_HEADER_TABLE_SIZE. We use at most 4096 bytes of what it allows. */
  setPeerTableBytes(bytes: number): void {
    const size = Math.min(bytes, DEFAULT_TABLE_BYTES)
    if (size === this.#table.maxBytes) return
    this.#table.resize(size)
    this.#smallestBytes = this.#mustUpdate ? Math.min(this.#smallestBytes, size) : size
    this.#mustUpdate = true
  }

  /** Begins a field block. */
  begin(writer: ByteWriter): void {
    this.#place = 0
    if (!this.#mustUpdate) return
    // RFC 7541 section 4.2: the smallest size in between is told as well.
    const size = this.#table.maxBytes
    if (this.#smallestBytes < size) writeInteger(writer, 0x20, 0x1f, this.#smallestBytes)
    writeInteger(writer, 0x20, 0x1f, size)
    this.#smallestBytes = size
    this.#mustUpdate = false
  }

  /** Writes an index of the static table (1 to 61). */
  staticField(index: number, writer: ByteWriter): void {
    writer.u8(INDEXED | index)
  }

  /** A value that is new nearly every time, under a name of the static table. */
  literal(staticIndex: number, value: string, writer: ByteWriter): void {
    writeInteger(writer, LITERAL, 0x0f, staticIndex)
    writePlainString(value, 0, value.length, writer)
  }

  /** Writes a field, the name in any case. Fields that have no place in HTTP/2, Host and Content-Length are left out. */
  text(name: string, value: string, writer: ByteWriter): void {
    this.field(name, 0, name.length, value, 0, value.length, writer)
  }

  /** The same for a name and a value that stand in other texts. */
  field(
    nameText: string,
    nameStart: number,
    nameEnd: number,
    valueText: string,
    valueStart: number,
    valueEnd: number,
    writer: ByteWriter,
  ): void {
    const place = this.#place++
    const group = this.#group
    const hint = place < this.#hints.length ? (this.#hints[place] as OutputEntry | null) : null
    if (hint !== null && nameText === valueText) {
      // One comparison of the whole line: slicing and comparing costs less than comparing in place.
      const { line } = hint
      if (line.length === valueEnd - nameStart && nameText.slice(nameStart, valueEnd) === line && this.#isAlive(hint)) {
        this.#writeIndex(hint, writer)
        if (group !== null) group.push(hint)
        return
      }
    }
    const name = outputName(nameText, nameStart, nameEnd)
    const { policy } = name
    if (policy === POLICY_INDEX || (policy === POLICY_TRAILERS && valueText.slice(valueStart, valueEnd) === 'trailers')) {
      const entry = this.#indexable(name, valueText, valueStart, valueEnd, writer)
      if (entry !== null && group !== null) group.push(entry)
      if (entry !== null && place < HINTS && nameText === valueText) this.#remember(place, entry, nameText, nameStart, valueEnd)
    } else if (policy === POLICY_LITERAL || policy === POLICY_NEVER) {
      writeName(name, policy === POLICY_NEVER ? NEVER : LITERAL, 0x0f, writer)
      if (policy === POLICY_LITERAL) writePlainString(valueText, valueStart, valueEnd, writer)
      else writeString(valueText, valueStart, valueEnd, writer)
    }
  }

  /** Writes field lines that were remembered as a whole. False: they are not, or not all of them are in the table any more. */
  rememberedLines(lines: string, writer: ByteWriter): boolean {
    const group = this.#groups?.get(lines)
    if (group === undefined) return false
    for (let i = 0; i < group.length; i++) {
      if (!this.#isAlive(group[i] as OutputEntry)) {
        this.#groups?.delete(lines)
        return false
      }
    }
    for (let i = 0; i < group.length; i++) this.#writeIndex(group[i] as OutputEntry, writer)
    this.#place += group.length
    return true
  }

  /** The fields that are written from here on to `rememberLines` are a group. */
  startRemembering(): number {
    this.#group = []
    return this.#place
  }

  /** Remembers a group, if each of its lines (written since place `from`) is in the table. */
  rememberLines(lines: string, from: number): void {
    const group = this.#group as OutputEntry[]
    this.#group = null
    if (group.length === 0 || group.length !== this.#place - from) return
    this.#groups ??= new Map()
    if (this.#groups.size >= REMEMBERED_GROUPS) this.#groups.clear()
    this.#groups.set(lines, group)
  }

  #isAlive(entry: OutputEntry): boolean {
    return this.#table.inserted - entry.number < this.#table.count
  }

  #writeIndex(entry: OutputEntry, writer: ByteWriter): void {
    const index = FIRST_DYNAMIC_INDEX + this.#table.inserted - entry.number
    if (index < 0x7f) writer.u8(INDEXED | index)
    else writeInteger(writer, INDEXED, 0x7f, index)
  }

  /** Returns the entry of the dynamic table that the field has now, or null. */
  #indexable(name: OutputName, text: string, start: number, end: number, writer: ByteWriter): OutputEntry | null {
    const hash = hashValue(name.hash, text, start, end)
    const found = this.#find(name, hash, text, start, end)
    if (found !== null) {
      this.#writeIndex(found, writer)
      return found
    }
    const { staticValue } = name
    if (staticValue !== '' && staticValue.length === end - start && text.startsWith(staticValue, start)) {
      writer.u8(INDEXED | name.staticValueIndex)
      return null
    }
    let entry: OutputEntry | null = null
    if (this.#isRepeated(hash) && (name.lower.length + end - start + ENTRY_OVERHEAD_BYTES) * 2 <= this.#table.maxBytes) {
      entry = new OutputEntry(name, flat(text.slice(start, end)), hash)
      this.#table.insert(entry)
      entry.number = this.#table.inserted
      writeName(name, INSERTED, 0x3f, writer)
    } else {
      writeName(name, LITERAL, 0x0f, writer)
    }
    writeString(text, start, end, writer)
    return entry
  }

  #find(name: OutputName, hash: number, text: string, start: number, end: number): OutputEntry | null {
    const table = this.#table
    for (let i = 0; i < table.count; i++) {
      const entry = table.at(i) as OutputEntry
      if (entry.hash !== hash || entry.value.length !== end - start || !text.startsWith(entry.value, start)) continue
      if (entry.name === name || entry.name.lower === name.lower) return entry
    }
    return null
  }

  /** Whether a line with this hash was sent lately; from now on it was. */
  #isRepeated(hash: number): boolean {
    this.#recent ??= new Int32Array(RECENT_BUCKETS << BUCKET_SHIFT)
    const recent = this.#recent
    const at = ((hash ^ (hash >>> 5)) & (RECENT_BUCKETS - 1)) << BUCKET_SHIFT
    if (recent[at] === hash || recent[at + 1] === hash || recent[at + 2] === hash || recent[at + 3] === hash) return true
    recent[at + 3] = recent[at + 2] as number
    recent[at + 2] = recent[at + 1] as number
    recent[at + 1] = recent[at] as number
    recent[at] = hash
    return false
  }

  #remember(place: number, entry: OutputEntry, text: string, start: number, end: number): void {
    if (entry.line.length !== end - start || text.slice(start, end) !== entry.line) entry.line = flat(text.slice(start, end))
    while (this.#hints.length <= place) this.#hints.push(null)
    this.#hints[place] = entry
  }
}

function writeName(name: OutputName, pattern: number, prefixMask: number, writer: ByteWriter): void {
  if (name.staticIndex !== 0) {
    writeInteger(writer, pattern, prefixMask, name.staticIndex)
    return
  }
  writer.u8(pattern)
  writeString(name.lower, 0, name.lower.length, writer)
}

/** An integer behind the pattern bits of its first byte (RFC 7541 section 5.1). */
function writeInteger(writer: ByteWriter, pattern: number, prefixMask: number, value: number): void {
  if (value < prefixMask) {
    writer.u8(pattern | value)
    return
  }
  writer.u8(pattern | prefixMask)
  let rest = value - prefixMask
  while (rest >= 0x80) {
    writer.u8((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  writer.u8(rest)
}

/** text[start, end), Huffman-coded if that is shorter (section 5.2). */
function writeString(text: string, start: number, end: number, writer: ByteWriter): void {
  const length = end - start
  const coded = huffmanLength(text, start, end)
  if (coded < length) {
    writeInteger(writer, 0x80, 0x7f, coded)
    huffmanEncode(text, start, end, coded, writer)
    return
  }
  writePlainString(text, start, end, writer)
}

/** text[start, end) as it is. For what is written once: Huffman coding would save a third of its bytes and cost more than all the rest. */
function writePlainString(text: string, start: number, end: number, writer: ByteWriter): void {
  const length = end - start
  writeInteger(writer, 0, 0x7f, length)
  writer.reserve(length)
  const { bytes, at } = writer
  for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(start + i)
  writer.at = at + length
}
