const QUOTE = 34
const BACKSLASH = 92
const COMMA = 44
const OPEN_LIST = 91
const CLOSE_LIST = 93
const OPEN_MAP = 123
const CLOSE_MAP = 125
const EMPTY = Buffer.alloc(0)

/** What a stream of JSON values may not be. */
export class JsonStreamError extends Error {}

/**
 * Cuts a stream into JSON values: the elements of one list, or values one after the other with white space between them (as in
 * newline-delimited JSON). Finds the borders only; whether a value is good is for its parser to say. Holds one value at most.
 */
export class JsonValues {
  readonly #maxBytes: number
  #held: Buffer = EMPTY
  #heldBytes = 0
  /** Of lists and maps around the current byte, the list of the stream itself not counted. */
  #depth = 0
  #isString = false
  #isEscaped = false
  /** A value has begun. */
  #isInside = false
  /** null: not known yet. */
  #isList: boolean | null = null
  #isListClosed = false
  /** In a list: a value may stand here, or must. */
  #needsComma = false
  #afterComma = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The values that [start, end) completes. Throws JsonStreamError. */
  read(bytes: Buffer, start: number, end: number): Buffer[] {
    const values: Buffer[] = []
    let from = start
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number
      if (this.#isString) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === BACKSLASH) this.#isEscaped = true
        else if (byte === QUOTE) {
          this.#isString = false
          if (this.#depth === 0) {
            values.push(this.#take(bytes, from, i + 1))
          }
        }
        continue
      }
      if (!this.#isInside) {
        if (isSpace(byte) || !this.#begins(byte)) continue
        from = i
        this.#isInside = true
        if (byte === OPEN_LIST || byte === OPEN_MAP) this.#depth = 1
        else if (byte === QUOTE) this.#isString = true
        continue
      }
      if (byte === QUOTE) this.#isString = true
      else if (byte === OPEN_LIST || byte === OPEN_MAP) this.#depth++
      else if (this.#depth > 0 && (byte === CLOSE_LIST || byte === CLOSE_MAP)) {
        if (--this.#depth === 0) values.push(this.#take(bytes, from, i + 1))
      } else if (this.#depth === 0 && (isSpace(byte) || byte === COMMA || byte === CLOSE_LIST)) {
        // A number or a word ends where something else begins.
        values.push(this.#take(bytes, from, i))
        i--
      }
    }
    if (this.#isInside) this.#keep(bytes, from, end)
    return values
  }

  /** The stream has ended: the value that only its end completes, if there is one. Throws JsonStreamError when something is missing. */
  end(): Buffer | null {
    if (this.#isString || this.#depth > 0) throw new JsonStreamError('the JSON is cut off')
    if (this.#isList === true && !this.#isListClosed) throw new JsonStreamError('the list is not closed')
    return this.#isInside ? this.#take(EMPTY, 0, 0) : null
  }

  /** Whether a byte outside of values begins one. */
  #begins(byte: number): boolean {
    if (this.#isListClosed) throw new JsonStreamError('something follows the list')
    if (this.#isList === null) {
      this.#isList = byte === OPEN_LIST
      if (this.#isList) return false
    }
    if (!this.#isList) return true
    if (byte === COMMA) {
      if (!this.#needsComma) throw new JsonStreamError('a value is missing before a comma')
      this.#needsComma = false
      this.#afterComma = true
      return false
    }
    if (byte === CLOSE_LIST) {
      if (this.#afterComma) throw new JsonStreamError('a value is missing after a comma')
      this.#isListClosed = true
      return false
    }
    if (this.#needsComma) throw new JsonStreamError('a comma is missing between two values')
    this.#afterComma = false
    return true
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const used = this.#heldBytes
    this.#heldBytes += end - start
    if (this.#heldBytes > this.#maxBytes) throw new JsonStreamError(`a value has more than ${this.#maxBytes} bytes`)
    // One buffer that grows: a client that sends byte by byte must not cost an object for each.
    if (this.#held.length < this.#heldBytes) {
      const larger = Buffer.allocUnsafe(Math.min(Math.max(64, this.#heldBytes, used * 2), this.#maxBytes))
      this.#held.copy(larger, 0, 0, used)
      this.#held = larger
    }
    bytes.copy(this.#held, used, start, end)
  }

  #take(bytes: Buffer, start: number, end: number): Buffer {
    this.#isInside = false
    this.#depth = 0
    this.#needsComma = true
    if (this.#heldBytes === 0 && end - start <= this.#maxBytes) return bytes.subarray(start, end)
    this.#keep(bytes, start, end)
    const whole = this.#held.subarray(0, this.#heldBytes)
    this.#held = EMPTY
    this.#heldBytes = 0
    return whole
  }
}

function isSpace(byte: number): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9
}
