import { CHAR_CLASS, CHAR_TOKEN, CHAR_VALUE } from '../chars.ts'

/**
 * The chunked transfer coding (RFC 9112 section 7.1), taken apart from bytes that may be split anywhere. The decoder holds no
 * body bytes: it names the span of data inside the buffer it was given.
 *
 *   while ((event = decoder.next(bytes, end)) === CHUNK_DATA) use(bytes, decoder.dataStart, decoder.dataEnd)
 */
export const CHUNK_NEED_MORE = 0
export const CHUNK_DATA = 1
/** The last chunk and the trailer section are complete; `position` is the first byte behind the message. */
export const CHUNK_END = 2
export const CHUNK_ERROR = 3

const STATE_SIZE = 0
const STATE_EXTENSION = 1
const STATE_SIZE_LF = 2
const STATE_DATA = 3
const STATE_DATA_CR = 4
const STATE_DATA_LF = 5
const STATE_TRAILER = 6
const STATE_DONE = 7
const STATE_FAILED = 8
const STATE_EXTENSION_QUOTED = 9
const STATE_EXTENSION_ESCAPE = 10

/** Where in the trailer section: a line is `name ":" value CRLF`, the section ends with CRLF. */
const LINE_START = 0
const LINE_NAME = 1
const LINE_VALUE = 2
const LINE_LF = 3
const LINE_LAST_LF = 4
const LINE_LAST_DONE = 5

const CR = 13
const LF = 10
const HTAB = 9
const SP = 32
const QUOTE = 34
const COLON = 58
const SEMICOLON = 59
const EQUALS = 61
const BACKSLASH = 92

/** An extension carries nothing for us; a long one is only a way to make us read. */
const MAX_EXTENSION_BYTES = 256
/** 13 hex digits stay exact in a double. */
const MAX_SIZE_DIGITS = 13

export class ChunkedDecoder {
  position = 0
  dataStart = 0
  dataEnd = 0
  /**
   * The field lines of the trailer section as latin1 text, without the empty line; '' when there are none. Valid after CHUNK_END.
   * Their syntax has been checked; framing and routing fields among them are the caller's to drop.
   */
  trailers = ''
  readonly #maxTrailerBytes: number
  #state = STATE_SIZE
  #line = LINE_START
  #size = 0
  #digits = 0
  #extensionBytes = 0
  #trailerBytes = 0

  /** `maxTrailerBytes` bounds the field lines of the trailer section, without the empty line. */
  constructor(maxTrailerBytes: number) {
    this.#maxTrailerBytes = maxTrailerBytes
  }

  /** Ready for another body. */
  reset(): void {
    this.position = 0
    this.trailers = ''
    this.#state = STATE_SIZE
    this.#line = LINE_START
    this.#size = 0
    this.#digits = 0
    this.#extensionBytes = 0
    this.#trailerBytes = 0
  }

  /**
   * Reads from `position` up to `end`. Set `position` before the first call on each new buffer. After CHUNK_ERROR every further
   * call answers CHUNK_ERROR until `reset`.
   */
  next(bytes: Uint8Array, end: number): number {
    let at = this.position
    while (at < end) {
      switch (this.#state) {
        case STATE_DATA: {
          const take = Math.min(this.#size, end - at)
          this.dataStart = at
          this.dataEnd = at + take
          this.#size -= take
          if (this.#size === 0) this.#state = STATE_DATA_CR
          this.position = at + take
          return CHUNK_DATA
        }
        case STATE_TRAILER:
          at = this.#readTrailer(bytes, at, end)
          if (at < 0) return this.#fail()
          if (this.#isDone()) {
            this.position = at
            return CHUNK_END
          }
          break
        case STATE_DONE:
        case STATE_FAILED:
          return this.#fail()
        default:
          if (!this.#readSizeLine(bytes[at] as number)) return this.#fail()
          at++
      }
    }
    this.position = at
    return this.#state === STATE_FAILED ? CHUNK_ERROR : CHUNK_NEED_MORE
  }

  /** One byte between two pieces of data. False: this is no chunked body. */
  #readSizeLine(code: number): boolean {
    switch (this.#state) {
      case STATE_SIZE: {
        const digit = hexValue(code)
        if (digit >= 0) {
          this.#size = this.#size * 16 + digit
          return ++this.#digits <= MAX_SIZE_DIGITS
        }
        if (this.#digits === 0) return false
        // RFC 9112 section 7.1.1 lets "bad whitespace" stand before the semicolon; others read it differently, so it is refused.
        if (code === SEMICOLON) this.#state = STATE_EXTENSION
        else this.#state = STATE_SIZE_LF
        return code === SEMICOLON || code === CR
      }
      case STATE_SIZE_LF:
        this.#extensionBytes = 0
        this.#state = this.#size === 0 ? STATE_TRAILER : STATE_DATA
        return code === LF
      case STATE_DATA_CR:
        this.#state = STATE_DATA_LF
        return code === CR
      case STATE_DATA_LF:
        this.#digits = 0
        this.#state = STATE_SIZE
        return code === LF
      default:
        return this.#readExtension(code)
    }
  }

  /** Extensions are skipped. Quotes are followed because a line end inside them is read in two ways. */
  #readExtension(code: number): boolean {
    if (code === CR && this.#state === STATE_EXTENSION) {
      this.#state = STATE_SIZE_LF
      return true
    }
    if (this.#state === STATE_EXTENSION_ESCAPE) this.#state = STATE_EXTENSION_QUOTED
    else if (code === QUOTE) this.#state = this.#state === STATE_EXTENSION ? STATE_EXTENSION_QUOTED : STATE_EXTENSION
    else if (code === BACKSLASH && this.#state === STATE_EXTENSION_QUOTED) this.#state = STATE_EXTENSION_ESCAPE
    else if (this.#state === STATE_EXTENSION && !isExtensionChar(code)) return false
    return ++this.#extensionBytes <= MAX_EXTENSION_BYTES && ((CHAR_CLASS[code] as number) & CHAR_VALUE) !== 0
  }

  #fail(): number {
    this.#state = STATE_FAILED
    return CHUNK_ERROR
  }

  #isDone(): boolean {
    return this.#state === STATE_DONE
  }

  /** Checks and collects the field lines up to the empty line. Returns the new position, or -1. */
  #readTrailer(bytes: Uint8Array, start: number, end: number): number {
    let at = start
    let line = this.#line
    while (at < end && this.#state === STATE_TRAILER) {
      line = nextInLine(line, bytes[at++] as number)
      if (line < 0) return -1
      if (line === LINE_LAST_DONE) this.#state = STATE_DONE
      // The CRLF of the empty line does not count.
      else if (line !== LINE_LAST_LF && ++this.#trailerBytes > this.#maxTrailerBytes) return -1
    }
    this.#line = line
    const last = line === LINE_LAST_DONE ? 2 : line === LINE_LAST_LF ? 1 : 0
    // In one piece per read: a field line is at most cut where a read was.
    if (at - last > start) this.trailers += Buffer.from(bytes.buffer, bytes.byteOffset + start, at - last - start).toString('latin1')
    return at
  }
}

/** The state behind one byte of the trailer section, or -1 when it cannot stand there. */
function nextInLine(line: number, code: number): number {
  const bits = CHAR_CLASS[code] as number
  switch (line) {
    case LINE_START:
      if (code === CR) return LINE_LAST_LF
      return (bits & CHAR_TOKEN) !== 0 ? LINE_NAME : -1
    case LINE_NAME:
      if (code === COLON) return LINE_VALUE
      return (bits & CHAR_TOKEN) !== 0 ? LINE_NAME : -1
    case LINE_VALUE:
      if (code === CR) return LINE_LF
      return (bits & CHAR_VALUE) !== 0 ? LINE_VALUE : -1
    case LINE_LF:
      return code === LF ? LINE_START : -1
    default:
      return code === LF ? LINE_LAST_DONE : -1
  }
}

/** Outside quotes: tokens, '=', ';', and the bad whitespace a recipient has to read. */
function isExtensionChar(code: number): boolean {
  return ((CHAR_CLASS[code] as number) & CHAR_TOKEN) !== 0 || code === EQUALS || code === SEMICOLON || code === SP || code === HTAB
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 65 && code <= 70) return code - 55
  if (code >= 97 && code <= 102) return code - 87
  return -1
}
