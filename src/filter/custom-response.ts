import type { ResponseHead } from '../codec/http1/head.ts'
import type { BodyValue, FilterHeaders, FilterResponse } from '../config/filter-api.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { DEFAULT_BODY_BYTES, decodeBody, dropResponseBodyFields, encodeBody, ResponseBody, typeBody } from './custom-body.ts'
import { HeaderView } from './custom-headers.ts'

const EMPTY = Buffer.alloc(0)

/** The response as a custom filter sees it. `assertWritable` throws when it has gone out or the exchange has ended. */
export class ResponseView implements FilterResponse {
  readonly #x: Exchange
  readonly #head: ResponseHead
  readonly #assertWritable: () => void
  #headers: HeaderView | null = null
  #replacement: Buffer | null = null
  readonly held: ResponseBody
  readonly hasBody: boolean

  constructor(x: Exchange, head: ResponseHead, assertWritable: () => void) {
    this.#x = x
    this.#head = head
    this.#assertWritable = assertWritable
    this.held = new ResponseBody(x)
    this.hasBody = x.method !== 'HEAD' && head.status !== 204 && head.status !== 304
  }

  get status(): number {
    return this.#head.status
  }

  set status(status: number) {
    if (!(Number.isInteger(status) && status >= 200 && status <= 599)) throw new RangeError(`a response cannot have the status ${status}`)
    this.#assertWritable()
    this.#head.status = status
    this.#head.reason = ''
  }

  get headers(): FilterHeaders {
    this.#headers ??= new HeaderView(this.#head.headers, this.#assertWritable)
    return this.#headers
  }

  body(maxBytes: number = DEFAULT_BODY_BYTES): Promise<Buffer> {
    if (this.#replacement !== null) return Promise.resolve(this.#replacement)
    return this.hasBody ? this.held.collect(maxBytes) : Promise.resolve(EMPTY)
  }

  async text(maxBytes: number = DEFAULT_BODY_BYTES): Promise<string> {
    const bytes = await this.body(maxBytes)
    const decoded = await decodeBody(bytes, this.#head.headers, maxBytes, () => this.held.tooLarge(maxBytes))
    return decoded.toString('utf8')
  }

  async json<T = unknown>(maxBytes: number = DEFAULT_BODY_BYTES): Promise<T> {
    return JSON.parse(await this.text(maxBytes)) as T
  }

  setBody(body: BodyValue): void {
    const { status, headers } = this.#head
    if (status === 206) {
      throw new TypeError(
        'a 206 response holds a part of a body, so it cannot be replaced; remove Range from the request, or set the status',
      )
    }
    const encoded = encodeBody(body)
    this.#assertWritable()
    // These never have one (RFC 9110 section 6.4.1); what a 304 says of the body the client has stays true or not without us.
    if (status === 204 || status === 304) return
    dropResponseBodyFields(headers)
    typeBody(headers, encoded)
    this.#replacement = encoded.bytes
  }

  /** Puts the replaced body in place. Called once, when the filter has returned. */
  apply(): void {
    const x = this.#x
    const bytes = this.#replacement
    // x.respond() beats setBody().
    if (bytes === null || x.local !== x.appliedLocal) return
    const head = this.#head
    head.chunked = false
    if (x.method === 'HEAD') {
      // What GET would answer is not known here, so neither is its length.
      head.contentLength = -1
    } else if (this.held.isComplete) {
      head.contentLength = bytes.length
      this.held.put(bytes)
    } else {
      // The rest of the old body is not waited for: the response becomes one of ours.
      // The request id is put on it again, as on everything made here.
      const pairs = head.headers.toPairs().filter(([name]) => name.toLowerCase() !== 'x-request-id')
      x.local = { status: head.status, headers: pairs.flat(), body: bytes }
    }
  }
}
