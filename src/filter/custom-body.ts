import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { GatewayError } from '../base/error.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { BodyValue } from '../config/filter-api.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { createDeferred, type Deferred, ExchangeEndedError, rejectQuietly } from './custom-promise.ts'

/** How much of a body is collected unless the filter says otherwise. */
export const DEFAULT_BODY_BYTES = 1024 * 1024
/** While a body that is to be replaced comes in, this much of it is held before it is thrown away. */
const DISCARD_BYTES = 64 * 1024

const EMPTY = Buffer.alloc(0)

/** Collects the body of one side of an exchange through the fields with which the proxy holds it (Exchange.heldRequest and so on). */
abstract class HeldBody {
  protected readonly x: Exchange
  #waiting: Deferred<Buffer> | null = null
  #limitBytes = 0
  #epoch = 0

  constructor(x: Exchange) {
    this.x = x
  }

  /** All of it is here. */
  abstract get isComplete(): boolean
  protected abstract get heldBytes(): number
  /** What the head says; -1 when it does not. */
  protected abstract get declaredBytes(): number
  /** What is held, in one piece, which stays held. */
  protected abstract take(): Buffer
  /** From now on hold up to `limitBytes` and call `done`; 0 and null end it. */
  protected abstract hold(limitBytes: number, done: (() => void) | null): void
  protected abstract resume(): void
  abstract tooLarge(limitBytes: number): GatewayError

  get isWaiting(): boolean {
    return this.#waiting !== null
  }

  collect(limitBytes: number): Promise<Buffer> {
    if (!(limitBytes >= 0)) return rejectQuietly(new RangeError(`maxBytes must be a number of bytes, not ${limitBytes}`))
    if (this.isComplete) return this.#takeWithin(limitBytes)
    if (this.heldBytes > limitBytes || this.declaredBytes > limitBytes) return rejectQuietly(this.tooLarge(limitBytes))
    if (this.#waiting !== null) {
      this.#limitBytes = Math.max(this.#limitBytes, limitBytes)
      this.hold(this.#limitBytes, this.#onHeld)
      return this.#waiting.promise
    }
    const waiting = createDeferred<Buffer>()
    this.#waiting = waiting
    this.#limitBytes = limitBytes
    this.#epoch = this.x.epoch
    // A limit of 0 would mean that nobody collects; a byte too many is noticed when the body is complete.
    this.hold(Math.max(1, limitBytes), this.#onHeld)
    this.resume()
    return waiting.promise
  }

  readonly #onHeld = (): void => {
    const waiting = this.#waiting
    if (waiting === null) return
    this.#waiting = null
    // What is over the limit is not collected any further; it can still be passed on as it is.
    this.hold(0, null)
    if (this.x.finished || this.x.epoch !== this.#epoch) waiting.reject(new ExchangeEndedError('its body will not come'))
    else if (this.isComplete) waiting.resolve(this.#takeWithin(this.#limitBytes))
    else waiting.reject(this.tooLarge(this.#limitBytes))
  }

  #takeWithin(limitBytes: number): Promise<Buffer> {
    const whole = this.take()
    if (whole.length > limitBytes) return rejectQuietly(this.tooLarge(limitBytes))
    const taken = createDeferred<Buffer>()
    taken.resolve(whole)
    return taken.promise
  }

  /** The filter is done, or the exchange is: nobody waits any more. */
  cancel(error: Error): void {
    const waiting = this.#waiting
    if (waiting === null) return
    this.#waiting = null
    this.hold(0, null)
    waiting.reject(error)
  }
}

export class RequestBody extends HeldBody {
  get isComplete(): boolean {
    return this.x.heldRequestEnd !== null || !this.x.hasRequestBody
  }

  protected get heldBytes(): number {
    return this.x.heldRequestBytes
  }

  protected get declaredBytes(): number {
    return this.x.request.contentLength
  }

  protected take(): Buffer {
    const whole = join(this.x.heldRequest)
    if (this.x.heldRequest !== null) this.x.heldRequest = [whole]
    return whole
  }

  protected hold(limitBytes: number, done: (() => void) | null): void {
    this.x.holdRequestLimit = limitBytes
    this.x.onHeldRequest = done
  }

  protected resume(): void {
    const { x } = this
    if (x.expectsContinue && x.requestBytes === 0) {
      x.expectsContinue = false
      x.downstream.sendContinue()
    }
    x.downstream.resumeRequest()
  }

  tooLarge(limitBytes: number): GatewayError {
    return new GatewayError('body_too_large', `a filter reads request bodies of at most ${limitBytes} bytes here`)
  }

  /** Puts another body in the place of the client's. `done` is called when that has come to its end, or at once; never twice. */
  replace(bytes: Buffer, done: () => void): void {
    const { x } = this
    const { epoch } = x
    const onPiece = (): void => {
      x.heldRequest = null
      x.heldRequestBytes = 0
      if (!x.finished && x.epoch === epoch && !this.isComplete) {
        this.hold(DISCARD_BYTES, onPiece)
        return
      }
      this.hold(0, null)
      if (!x.finished && x.epoch === epoch) this.#put(bytes)
      done()
    }
    onPiece()
    if (!this.isComplete) this.resume()
  }

  #put(bytes: Buffer): void {
    const { x } = this
    x.heldRequest = bytes.length === 0 ? null : [bytes]
    x.heldRequestBytes = bytes.length
    x.heldRequestEnd = ''
    x.request.contentLength = bytes.length
    x.request.chunked = false
  }
}

export class ResponseBody extends HeldBody {
  get isComplete(): boolean {
    return this.x.heldResponseEnd !== null
  }

  protected get heldBytes(): number {
    return this.x.heldResponseBytes
  }

  protected get declaredBytes(): number {
    return this.x.response?.contentLength ?? -1
  }

  protected take(): Buffer {
    const whole = join(this.x.heldResponse)
    if (this.x.heldResponse !== null) this.x.heldResponse = [whole]
    return whole
  }

  protected hold(limitBytes: number, done: (() => void) | null): void {
    this.x.holdResponseLimit = limitBytes
    this.x.onHeldResponse = done
  }

  protected resume(): void {
    this.x.attempt?.connection?.resumeResponse()
  }

  tooLarge(limitBytes: number): GatewayError {
    return new GatewayError('upstream_protocol', `a filter reads response bodies of at most ${limitBytes} bytes here`)
  }

  /** Puts another body in the place of one that is complete. */
  put(bytes: Buffer): void {
    const { x } = this
    x.heldResponse = bytes.length === 0 ? null : [bytes]
    x.heldResponseBytes = bytes.length
    x.heldResponseEnd = ''
  }
}

function join(pieces: Buffer[] | null): Buffer {
  if (pieces === null || pieces.length === 0) return EMPTY
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
}

const TEXT_TYPE = 'text/plain; charset=utf-8'
const JSON_TYPE = 'application/json'

/** A body as bytes, with the content type it has by itself; null for bytes that could be anything, and for none. */
export function encodeBody(body: BodyValue | undefined): { bytes: Buffer; type: string | null; isJson: boolean } {
  if (body === null || body === undefined) return { bytes: EMPTY, type: null, isJson: false }
  if (typeof body === 'string') return { bytes: Buffer.from(body), type: body === '' ? null : TEXT_TYPE, isJson: false }
  if (ArrayBuffer.isView(body)) {
    const bytes = body instanceof Buffer ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    return { bytes, type: null, isJson: false }
  }
  if (body instanceof ArrayBuffer) return { bytes: Buffer.from(body), type: null, isJson: false }
  const text: string | undefined = typeof body === 'object' ? JSON.stringify(body) : undefined
  if (text === undefined) throw new TypeError(`a body is text, bytes or an object, not a ${typeof body}`)
  return { bytes: Buffer.from(text), type: JSON_TYPE, isJson: true }
}

/** Fields that spoke of the bytes of a body. */
const BODY_FIELDS = ['content-length', 'transfer-encoding', 'content-encoding', 'content-md5', 'digest', 'content-digest', 'repr-digest']
/** And those that let a client ask for parts of it, or compare it. */
const RESPONSE_BODY_FIELDS = [...BODY_FIELDS, 'etag', 'accept-ranges', 'content-range']

export function dropRequestBodyFields(headers: HeaderBlock): void {
  for (const name of BODY_FIELDS) headers.remove(name)
}

export function dropResponseBodyFields(headers: HeaderBlock): void {
  for (const name of RESPONSE_BODY_FIELDS) headers.remove(name)
}

/** Gives a replaced body its content type: that of text when there is none, that of JSON unless it is some JSON already. */
export function typeBody(headers: HeaderBlock, encoded: { type: string | null; isJson: boolean }): void {
  if (encoded.type === null) return
  const current = headers.get('content-type')
  if (current === undefined || (encoded.isJson && !/[/+]json\b/i.test(current))) headers.set('Content-Type', encoded.type)
}

type Decoder = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: promisify(zlib.gunzip),
  'x-gzip': promisify(zlib.gunzip),
  deflate: promisify(zlib.inflate),
  br: promisify(zlib.brotliDecompress),
  zstd: promisify(zlib.zstdDecompress),
}

/** Undoes Content-Encoding (RFC 9110 section 8.4). The result has at most `maxBytes` bytes, whatever the input claims to be. */
export async function decodeBody(bytes: Buffer, headers: HeaderBlock, maxBytes: number, tooLarge: () => GatewayError): Promise<Buffer> {
  const codings = headers.getAll('content-encoding').join(',').toLowerCase().split(',')
  let decoded = bytes
  if (bytes.length === 0) return bytes
  // The last coding was applied last. More than a few is an attempt to keep us busy.
  if (codings.length > 3) throw new TypeError('the body has too many content codings')
  for (let i = codings.length - 1; i >= 0; i--) {
    const coding = (codings[i] as string).trim()
    if (coding === '' || coding === 'identity') continue
    const decode = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined
    if (decode === undefined) throw new TypeError(`the body has a content coding that cannot be undone here: ${coding}`)
    try {
      decoded = await decode(decoded, { maxOutputLength: Math.max(1, maxBytes) })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge()
      throw new TypeError(`the body is not valid ${coding}`, { cause: error })
    }
  }
  return decoded
}
