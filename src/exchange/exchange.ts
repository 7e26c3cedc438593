import type { ErrorCode } from '../base/error.ts'
import { Timed } from '../base/timers.ts'
import { isFieldValue, isToken } from '../codec/chars.ts'
import { HEADER_HOST } from '../codec/header-id.ts'
import { type RequestHead, ResponseHead } from '../codec/http1/head.ts'
import type { FallbackCause, HttpListenerConfig } from '../config/types.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { PickContext } from '../service/picker.ts'
import type { DownstreamStream, UpstreamConnection } from './contracts.ts'
import type { Filter } from './filter.ts'
import type { GrpcCall } from './grpc-call.ts'
import type { BodyTransform } from './transform.ts'

/** What the exchange knows of where it came in. One per listener. */
export interface ListenerContext {
  readonly name: string
  readonly config: HttpListenerConfig
  /** The port clients reach, for X-Forwarded-Port. */
  readonly port: number
}

/** Forwarding fields of a connection's requests as ready lines, and what they were made for. */
export class ForwardingLines {
  text = ''
  listener: ListenerContext | null = null
  minor = 0
  host = ''
}

/** What the exchange knows of the connection it came on. */
export interface ClientContext {
  readonly remoteAddress: string
  readonly forwarding: ForwardingLines
  /** What the TLS handshake has shown that matters to requests; null: nothing. */
  readonly secure: SecureClient | null
}

/** What a TLS handshake has shown of a client. */
export interface SecureClient {
  /** The verified subject of its certificate; '' when it has shown none. */
  readonly subject: string
  /** Whether a request for this host (lower case, without a port) does not belong on the connection: 421. */
  misdirects(host: string): boolean
}

/** What the exchange knows of its route; the rest belongs to the layers above. */
export interface RouteContext {
  readonly name: string
  /** null when there are none: the hot path skips everything about filters then. */
  readonly filters: readonly Filter[] | null
}

/** What the exchange knows of its other protocol, once it is spoken. */
export interface TunnelContext {
  readonly idleMs: number
  onRequest(bytes: Uint8Array, start: number, end: number): boolean
  onResponse(bytes: Uint8Array, start: number, end: number): number
  afterResponse(): void
  goAway(): void
  release(): void
}

/** What the exchange knows of the service it goes to. */
export interface ServiceContext {
  readonly service: { readonly name: string }
}

/** Places under concurrency limits, linked: the newest stands for all. */
export interface HeldPlace {
  /** Gives all of them back, or stops waiting for them. */
  leave(nowMs: number): void
}

/** A response the gateway makes itself. */
export interface LocalResponse {
  status: number
  /** name, value, name, value ... */
  headers: readonly string[]
  body: Buffer | null
}

export type ExchangeEvent = (x: Exchange) => void

/**
 * One request and its response, from the parsed request head until `finish`. Plain data with a fixed shape; what happens to it is
 * told in proxy/handle.ts.
 */
export class Exchange extends Timed implements PickContext {
  // What came in.
  downstream: DownstreamStream
  listener: ListenerContext
  request: RequestHead
  readonly client: ClientContext
  /** Address of the client: `remoteAddress`, or what a trusted proxy says it is. */
  clientIp: string
  scheme: 'http' | 'https'
  isTrusted = false
  method: string
  /** Lower case, without port. */
  host = ''
  /** As the client wrote it: what Host and X-Forwarded-Host say. */
  authority = ''
  /** Normalised; filters may rewrite it. */
  path = ''
  /** Without '?'; null when the target has none. */
  queryOrNull: string | null = null
  /** Set when path or query no longer stand as they came in `request.target`. */
  targetChanged = false
  requestId = ''
  expectsContinue = false
  startedMs: number

  // Where it goes.
  route: RouteContext | null = null
  params: Record<string, string> | null = null
  service: ServiceContext | null = null
  /** The Host sent upstream when a filter chose one. */
  upstreamHost: string | null = null
  attempt: Attempt | null = null
  /** A second attempt under way at the same time; null nearly always. */
  backup: Attempt | null = null
  /** The protocol both sides change to, lower case, when the endpoint agrees; '' nearly always. */
  upgrade = ''
  /** They have changed: bodies are the bytes of that protocol. */
  tunnel: TunnelContext | null = null
  /** Set when this is a gRPC call; null nearly always. */
  grpc: GrpcCall | null = null
  /** What bodies go through on their way (see `transformRequest`); null nearly always. */
  requestTransform: BodyTransform | null = null
  responseTransform: BodyTransform | null = null
  /** A filter has translated the request: this puts an answer of ours into the form its client reads. null nearly always. */
  localForm: ((x: Exchange, local: LocalResponse) => LocalResponse) | null = null
  hedgeWait: Timed | null = null
  /** The wait before the next attempt. */
  retryWait: Timed | null = null
  /** Places it has or waits for under concurrency limits; null when there are no limits. */
  places: HeldPlace | null = null
  /** Attempts made, those included that replace a connection which had died unused. */
  attempts = 0
  /** Attempts that count: as the retry policy sees them. */
  tries = 0
  /** What balancing by key goes by; read once, before the first pick. */
  hashKey: string | null = null
  stickyKey: string | null = null
  subsetKey: string | null = null
  /** Endpoints this request failed on. */
  tried: Endpoint[] | null = null
  /** What was sent of the request body, kept for another attempt; null when nothing is kept. */
  replay: Buffer[] | null = null
  replayBytes = 0
  /** How much may be kept; 0: nothing, or no more. */
  replayLimit = 0
  isFreeRetryUsed = false
  /** The retry budget of its service counts it among the requests under way. */
  isInBudget = false
  /** The next attempt has its place in the retry budget already. */
  isRetryGranted = false
  /** The response tells gateways before this one not to try again. */
  isRetryForbidden = false
  /** An error a filter answers with; see `reject`. */
  rejection: ErrorCode | null = null
  rejectionDetail = ''
  /** More fields for an error of ours: name, value, name, value ... */
  errorHeaders: string[] | null = null
  /** Why something else was answered than the service would have; null: it was not. */
  fallbackCause: FallbackCause | 'status' | null = null
  /** When whoever sent this stops waiting for its response, as it told us; 0: it did not. */
  callersDeadlineMs = 0
  /** That deadline is for the whole response, not only for its head. */
  isDeadlineTotal = false
  /** For a Retry-After on an error of ours; 0: none of its own. */
  retryAfterMs = 0
  nowMs: number

  // What goes back.
  response: ResponseHead | null = null
  local: LocalResponse | null = null
  /** The local response that `response` was made from. */
  appliedLocal: LocalResponse | null = null
  /** Rises when the exchange turns to an answer of ours: what filters still had under way is void then. */
  epoch = 0
  errorCode: ErrorCode | null = null
  headSent = false

  // Progress.
  filterIndex = 0
  requestComplete = false
  responseComplete = false
  /** The endpoint has not taken all of the request body it was given. */
  requestBlocked = false
  /** The client has not taken all of the response it was given. */
  responseBlocked = false
  finished = false
  /**
   * Request body that has nowhere to go yet. Beyond a little the client is paused, unless a filter asked for the whole body
   * (`holdRequestLimit` > 0): then it is collected up to that many bytes, and `onHeldRequest` is called once when it is complete
   * (`heldRequestEnd` is set), too large, or will never come (`finished`).
   */
  heldRequest: Buffer[] | null = null
  heldRequestBytes = 0
  /** The trailers, once the body is complete; null before. */
  heldRequestEnd: string | null = null
  holdRequestLimit = 0
  onHeldRequest: ExchangeEvent | null = null
  /** The same for the response, while filters are deciding about it. */
  responseHeld = false
  heldResponse: Buffer[] | null = null
  heldResponseBytes = 0
  heldResponseEnd: string | null = null
  holdResponseLimit = 0
  onHeldResponse: ExchangeEvent | null = null
  maxBodyBytes: number
  requestBytes = 0
  responseBytes = 0
  upstreamMs = -1
  /** A filter may keep this exchange beyond its end, so its heads are not reused. */
  isRetained = false
  /** What custom filters keep for each other. */
  state: Map<unknown, unknown> | null = null
  /** What a filter keeps of this exchange for itself. */
  filterData: Map<Filter, unknown> | null = null
  /** The configuration this exchange began with and ends with. */
  snapshot: { readonly generation: number } | null = null

  constructor(downstream: DownstreamStream, listener: ListenerContext, request: RequestHead, client: ClientContext, nowMs: number) {
    super()
    this.downstream = downstream
    this.listener = listener
    this.request = request
    this.client = client
    this.clientIp = client.remoteAddress
    this.scheme = listener.config.tls === null ? 'http' : 'https'
    this.method = request.method
    this.startedMs = nowMs
    this.nowMs = nowMs
    this.maxBodyBytes = listener.config.limits.bodyBytes
  }

  /** Address of the connection's other side. */
  get remoteAddress(): string {
    return this.client.remoteAddress
  }

  /** Set by proxy/: what happens when the request timeout is reached. */
  onTimeout: ((x: Exchange) => void) | null = null

  override onDeadline(): void {
    this.onTimeout?.(this)
  }

  get query(): string {
    return this.queryOrNull ?? ''
  }

  header(name: string): string | undefined {
    if (name === 'host') return this.authority
    return this.request.headers.get(name)
  }

  /** The target for the upstream: as it came when nothing changed it. */
  get target(): string {
    if (!this.targetChanged) return this.request.target
    return this.queryOrNull === null ? this.path : `${this.path}?${this.queryOrNull}`
  }

  /** Replaces the path (and the query when one is given: null removes it). */
  setPath(path: string, query?: string | null): void {
    this.path = path
    if (query !== undefined) this.queryOrNull = query
    this.targetChanged = true
  }

  /**
   * Answers the request here. In a request filter it ends the request's way; in a response filter it replaces the response.
   * Throws on a status outside 200..599 or a header that cannot be sent.
   */
  respond(status: number, headers: readonly string[], body: Buffer | null): void {
    if (!(Number.isInteger(status) && status >= 200 && status <= 599)) throw new RangeError(`cannot respond with status ${status}`)
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string
      if (!isToken(name)) throw new TypeError(`not a field name: ${JSON.stringify(name)}`)
      if (!isFieldValue(headers[i + 1] ?? '')) throw new TypeError(`not a field value for ${name}`)
    }
    this.local = { status, headers, body }
  }

  /** Answers with an error of ours: what a filter does that refuses a request, without the cost of throwing. */
  reject(code: ErrorCode, detail: string): void {
    this.rejection = code
    this.rejectionDetail = detail
  }

  /** The request has a body, or may have one of unknown length. */
  get hasRequestBody(): boolean {
    return this.request.chunked || this.request.contentLength > 0
  }

  /** The Host field as it came (not the authority of an absolute-form target). */
  get hostField(): string {
    return this.request.headers.getById(HEADER_HOST) ?? ''
  }
}

/** One try of an exchange on one endpoint. */
export class Attempt extends Timed {
  readonly exchange: Exchange
  readonly endpoint: Endpoint
  readonly number: number
  readonly startedMs: number
  connection: UpstreamConnection | null = null
  /** Any byte of the request may have reached the endpoint. */
  sent = false
  /**
   * The request goes out on a connection that has already served another one, and may have died since. HTTP/2: also, the connection was
   * going away when the request reached it.
   */
  reused = false
  /** Some of the request's body has been given to the connection: it cannot be repeated. */
  bodyStarted = false
  /** The endpoint has begun to answer, be it with an interim response or a part of a head. */
  headReceived = false
  done = false
  /** Time to the response head, for balancers that look at latencies; -1: not taken. */
  headMs = -1
  /** Of the response; 0 while there is none. */
  status = 0
  /** Of a gRPC call that has ended; -1: it has not, or is none. */
  grpcStatus = -1
  /** The error code with which the endpoint has reset the stream of this attempt (RFC 9113 section 7); -1: it has not. */
  resetCode = -1
  /** Of the service's breaker; 0: none. */
  breakerToken = 0
  /** It has been reported as a success, though it goes on. */
  settled = false
  /** Has a place in the retry budget. */
  holdsBudget = false
  onTimeout: ((attempt: Attempt) => void) | null = null
  /** Waiting for a connection; the pool clears it. */
  waiting: { cancel(attempt: Attempt): void } | null = null

  constructor(exchange: Exchange, endpoint: Endpoint, number: number, startedMs: number) {
    super()
    this.exchange = exchange
    this.endpoint = endpoint
    this.number = number
    this.startedMs = startedMs
  }

  override onDeadline(): void {
    this.onTimeout?.(this)
  }
}

/** A head for a response made here. */
export function createLocalHead(status: number): ResponseHead {
  const head = new ResponseHead()
  head.status = status
  return head
}
