import type { BodyValue, FilterHeaders, FilterRequest } from '../config/filter-api.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { DEFAULT_BODY_BYTES, decodeBody, dropRequestBodyFields, encodeBody, RequestBody, typeBody } from './custom-body.ts'
import { RequestHeaderView } from './custom-headers.ts'
import { checkPath, encodeTarget } from './path.ts'

/** The request as a custom filter sees it. `assertWritable` throws when it has gone on or the exchange has ended. */
export class RequestView implements FilterRequest {
  readonly #x: Exchange
  readonly #assertWritable: () => void
  #headers: RequestHeaderView | null = null
  readonly held: RequestBody
  /** What `setBody` gave; it takes the place of the client's body when the request goes on. */
  replacement: Buffer | null = null

  constructor(x: Exchange, assertWritable: () => void) {
    this.#x = x
    this.#assertWritable = assertWritable
    this.held = new RequestBody(x)
  }

  get method(): string {
    return this.#x.method
  }

  get host(): string {
    return this.#x.host
  }

  get scheme(): 'http' | 'https' {
    return this.#x.scheme
  }

  get clientIp(): string {
    return this.#x.clientIp
  }

  get id(): string {
    return this.#x.requestId
  }

  get path(): string {
    return this.#x.path
  }

  set path(path: string) {
    const wanted = encodeTarget(String(path))
    const checked = wanted.includes('?') ? null : checkPath(this.#x, wanted)
    if (checked === null) throw new TypeError(`not a path that can be sent: ${JSON.stringify(path)}`)
    this.#assertWritable()
    this.#x.setPath(checked)
  }

  get query(): string {
    return this.#x.query
  }

  set query(query: string) {
    const wanted = encodeTarget(String(query))
    this.#assertWritable()
    this.#x.setPath(this.#x.path, wanted === '' ? null : wanted)
  }

  get searchParams(): URLSearchParams {
    return new LiveSearchParams(this)
  }

  get headers(): FilterHeaders {
    this.#headers ??= new RequestHeaderView(this.#x, this.#assertWritable)
    return this.#headers
  }

  get hasBody(): boolean {
    return this.replacement === null ? this.#x.hasRequestBody : this.replacement.length > 0
  }

  body(maxBytes: number = DEFAULT_BODY_BYTES): Promise<Buffer> {
    return this.replacement === null ? this.held.collect(maxBytes) : Promise.resolve(this.replacement)
  }

  async text(maxBytes: number = DEFAULT_BODY_BYTES): Promise<string> {
    const bytes = await this.body(maxBytes)
    const decoded = await decodeBody(bytes, this.#x.request.headers, maxBytes, () => this.held.tooLarge(maxBytes))
    return decoded.toString('utf8')
  }

  async json<T = unknown>(maxBytes: number = DEFAULT_BODY_BYTES): Promise<T> {
    return JSON.parse(await this.text(maxBytes)) as T
  }

  setBody(body: BodyValue): void {
    const encoded = encodeBody(body)
    this.#assertWritable()
    const { headers } = this.#x.request
    dropRequestBodyFields(headers)
    typeBody(headers, encoded)
    this.replacement = encoded.bytes
  }
}

/** The query as parameters that write themselves back. */
class LiveSearchParams extends URLSearchParams {
  readonly #request: FilterRequest

  constructor(request: FilterRequest) {
    super(request.query)
    this.#request = request
  }

  override append(name: string, value: string): void {
    super.append(name, value)
    this.#write()
  }

  override delete(name: string, value?: string): void {
    super.delete(name, value)
    this.#write()
  }

  override set(name: string, value: string): void {
    super.set(name, value)
    this.#write()
  }

  override sort(): void {
    super.sort()
    this.#write()
  }

  #write(): void {
    this.#request.query = this.toString()
  }
}
