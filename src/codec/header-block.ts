import { HEADER_NONE, headerIdOf } from './header-id.ts'

/**
 * The fields of one message, as offsets into the text they arrived in. Nothing is sliced until somebody asks.
 *
 *   text    "GET / HTTP/1.1\r\nHost: a\r\nAccept: *\r\n\r\n"
 *   fields  [nameStart, nameEnd, valueStart, valueEnd, nextStart, id] x count      (nextStart: first index after the line's CRLF)
 *
 * A removed field keeps its place with id HEADER_REMOVED. Added fields stand in `extra` as name, value, name, value ...
 * and follow the others. Field order within one name is kept, as RFC 9110 section 5.3 asks.
 */
export const FIELD_SIZE = 6
export const FIELD_NAME_START = 0
export const FIELD_NAME_END = 1
export const FIELD_VALUE_START = 2
export const FIELD_VALUE_END = 3
export const FIELD_NEXT = 4
export const FIELD_ID = 5

export const HEADER_REMOVED = -1

export class HeaderBlock {
  text = ''
  readonly fields: number[] = []
  /** Length of `fields` in use; the array itself is reused. */
  used = 0
  /** Bit n is set when a field with id n (1..30) was parsed or added. `removeMask` clears it; a hint, not a promise. */
  seen = 0
  extra: string[] | null = null
  /** Ready-made field lines behind all others (see `addLines`); taken apart only when somebody looks for what may be in them. */
  tail = ''
  /** The same, in front of them: lines that come with message after message. Encoders remember them as a whole. */
  fixed = ''
  /** `seen` of the ready-made lines; 0: there are none. */
  tailSeen = 0

  reset(): void {
    this.text = ''
    this.used = 0
    this.seen = 0
    this.extra = null
    this.tail = ''
    this.fixed = ''
    this.tailSeen = 0
  }

  /**
   * Adds field lines that the proxy has made itself, each with its CRLF. `mask` has a bit for each of their ids; bit HEADER_NONE
   * stands for names without one.
   */
  addLines(lines: string, mask: number): void {
    this.tail += lines
    this.tailSeen |= mask
  }

  /** The same for lines that are one and the same string for many messages. */
  addFixedLines(lines: string, mask: number): void {
    if (this.fixed === '') this.fixed = lines
    else this.tail += lines
    this.tailSeen |= mask
  }

  /** Moves the ready-made lines among the other added fields, if this name may be in them. */
  #openTailFor(lowerName: string): void {
    if (((this.tailSeen >>> headerIdOf(lowerName)) & 1) !== 0) this.#openTail()
  }

  #openTail(): void {
    const tail = this.fixed + this.tail
    this.tail = ''
    this.fixed = ''
    this.tailSeen = 0
    for (const line of tail.split('\r\n')) {
      const colon = line.indexOf(': ')
      if (colon !== -1) this.add(line.slice(0, colon), line.slice(colon + 2))
    }
  }

  /** The first value of a field; `name` must be lower case. undefined when absent. */
  get(name: string): string | undefined {
    if (this.tailSeen !== 0) this.#openTailFor(name)
    const { fields, used, text, extra } = this
    for (let i = 0; i < used; i += FIELD_SIZE) {
      if (fields[i + FIELD_ID] !== HEADER_REMOVED && this.#nameAt(i, name)) {
        return text.slice(fields[i + FIELD_VALUE_START], fields[i + FIELD_VALUE_END])
      }
    }
    if (extra !== null) {
      for (let i = 0; i < extra.length; i += 2) {
        if (sameName(extra[i] as string, name)) return extra[i + 1]
      }
    }
    return undefined
  }

  /** Every value of a field in order; `name` must be lower case. */
  getAll(name: string): string[] {
    if (this.tailSeen !== 0) this.#openTailFor(name)
    const values: string[] = []
    const { fields, used, text, extra } = this
    for (let i = 0; i < used; i += FIELD_SIZE) {
      if (fields[i + FIELD_ID] !== HEADER_REMOVED && this.#nameAt(i, name)) {
        values.push(text.slice(fields[i + FIELD_VALUE_START], fields[i + FIELD_VALUE_END]))
      }
    }
    if (extra !== null) {
      for (let i = 0; i < extra.length; i += 2) {
        if (sameName(extra[i] as string, name)) values.push(extra[i + 1] as string)
      }
    }
    return values
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** How many fields have this well-known id. */
  countById(id: number): number {
    if (((this.tailSeen >>> id) & 1) !== 0) this.#openTail()
    if ((this.seen & (1 << id)) === 0) return 0
    const { fields, used, extra } = this
    let count = 0
    for (let i = FIELD_ID; i < used; i += FIELD_SIZE) if (fields[i] === id) count++
    if (extra !== null) for (let i = 0; i < extra.length; i += 2) if (headerIdOf(extra[i] as string) === id) count++
    return count
  }

  /** The first value of a well-known field by its id (header-id.ts): cheaper than by name on the hot path. */
  getById(id: number): string | undefined {
    if ((this.tailSeen & (1 << id)) !== 0) this.#openTail()
    if ((this.seen & (1 << id)) === 0) return undefined
    const { fields, used, text, extra } = this
    for (let i = 0; i < used; i += FIELD_SIZE) {
      if (fields[i + FIELD_ID] === id) return text.slice(fields[i + FIELD_VALUE_START], fields[i + FIELD_VALUE_END])
    }
    if (extra !== null) {
      for (let i = 0; i < extra.length; i += 2) {
        if (headerIdOf(extra[i] as string) === id) return extra[i + 1]
      }
    }
    return undefined
  }

  removeById(id: number): void {
    if ((this.tailSeen & (1 << id)) !== 0) this.#openTail()
    if ((this.seen & (1 << id)) === 0) return
    const { fields, used, extra } = this
    for (let i = 0; i < used; i += FIELD_SIZE) {
      if (fields[i + FIELD_ID] === id) fields[i + FIELD_ID] = HEADER_REMOVED
    }
    if (extra === null) return
    let kept = 0
    for (let i = 0; i < extra.length; i += 2) {
      if (headerIdOf(extra[i] as string) !== id) kept = keepExtra(extra, i, kept)
    }
    this.#truncateExtra(kept)
  }

  /** Removes every parsed or added field whose id has its bit in `mask`; ready-made lines stay. One pass for all of them. */
  removeMask(mask: number): void {
    if ((this.seen & mask) === 0) return
    this.seen &= ~mask
    const { fields, used, extra } = this
    for (let i = FIELD_ID; i < used; i += FIELD_SIZE) {
      const id = fields[i] as number
      if (id > HEADER_NONE && ((mask >>> id) & 1) !== 0) fields[i] = HEADER_REMOVED
    }
    if (extra === null) return
    let kept = 0
    for (let i = 0; i < extra.length; i += 2) {
      const id = headerIdOf(extra[i] as string)
      if (id === HEADER_NONE || ((mask >>> id) & 1) === 0) kept = keepExtra(extra, i, kept)
    }
    this.#truncateExtra(kept)
  }

  /** Removes every field of this name (lower case). */
  remove(name: string): void {
    if (this.tailSeen !== 0) this.#openTailFor(name)
    const { fields, used, extra } = this
    for (let i = 0; i < used; i += FIELD_SIZE) {
      if (fields[i + FIELD_ID] !== HEADER_REMOVED && this.#nameAt(i, name)) fields[i + FIELD_ID] = HEADER_REMOVED
    }
    if (extra === null) return
    let kept = 0
    for (let i = 0; i < extra.length; i += 2) {
      if (!sameName(extra[i] as string, name)) kept = keepExtra(extra, i, kept)
    }
    this.#truncateExtra(kept)
  }

  /** Adds a field behind the others. The value must already be a valid field value (see `isFieldValue`). */
  add(name: string, value: string): void {
    const id = headerIdOf(name)
    if (id !== HEADER_NONE) this.seen |= 1 << id
    if (this.extra === null) this.extra = [name, value]
    else this.extra.push(name, value)
  }

  /** Replaces every field of this name by one. `name` is compared without case and sent as given. */
  set(name: string, value: string): void {
    this.remove(name.toLowerCase())
    this.add(name, value)
  }

  /** Every field as [name, value], names as they arrived. Allocates: not for the hot path. */
  toPairs(): [string, string][] {
    if (this.tailSeen !== 0) this.#openTail()
    const pairs: [string, string][] = []
    const { fields, used, text, extra } = this
    for (let i = 0; i < used; i += FIELD_SIZE) {
      if (fields[i + FIELD_ID] === HEADER_REMOVED) continue
      pairs.push([
        text.slice(fields[i + FIELD_NAME_START], fields[i + FIELD_NAME_END]),
        text.slice(fields[i + FIELD_VALUE_START], fields[i + FIELD_VALUE_END]),
      ])
    }
    if (extra !== null) {
      for (let i = 0; i < extra.length; i += 2) pairs.push([extra[i] as string, extra[i + 1] as string])
    }
    return pairs
  }

  #truncateExtra(length: number): void {
    if (length === 0) this.extra = null
    else if (this.extra !== null) this.extra.length = length
  }

  #nameAt(i: number, lowerName: string): boolean {
    const { fields, text } = this
    const start = fields[i + FIELD_NAME_START] as number
    if ((fields[i + FIELD_NAME_END] as number) - start !== lowerName.length) return false
    for (let k = 0; k < lowerName.length; k++) {
      let code = text.charCodeAt(start + k)
      if (code >= 65 && code <= 90) code |= 32
      if (code !== lowerName.charCodeAt(k)) return false
    }
    return true
  }
}

function sameName(name: string, lowerName: string): boolean {
  return name.length === lowerName.length && name.toLowerCase() === lowerName
}

/** Moves the pair at `from` down to `to`. Returns the index behind it. */
function keepExtra(extra: string[], from: number, to: number): number {
  extra[to] = extra[from] as string
  extra[to + 1] = extra[from + 1] as string
  return to + 2
}
