// What the tests of filters share: an exchange made from real bytes, and one that the real RequestHandler drives between two fakes.
import assert from 'node:assert/strict'
import { ManualClock } from '../base/clock.ts'
import type { ErrorCode } from '../base/error.ts'
import { TimerWheel } from '../base/timers.ts'
import type { WireBuffer } from '../base/wire.ts'
import { parseRequestHead, parseResponseHead, RequestHead, ResponseHead } from '../codec/http1/head.ts'
import type { HttpListenerConfig } from '../config/types.ts'
import type { DownstreamStream, UpstreamConnection } from '../exchange/contracts.ts'
import { type Attempt, Exchange, ForwardingLines, type ListenerContext } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { RequestHandler } from '../proxy/handle.ts'
import { resolveTarget } from '../proxy/prepare.ts'
import type { CompiledRoute, ProxyContext } from '../proxy/runtime.ts'

const LIMITS = { headBytes: 61_440, headers: 100, uriBytes: 8192, bodyBytes: 10_000_000 }

export const LISTENER_CONFIG: HttpListenerConfig = {
  name: 'web',
  address: { host: '127.0.0.1', port: 8080 },
  protocol: 'http',
  tls: null,
  httpsRedirect: null,
  trustedProxies: [],
  proxyProtocol: null,
  maxConnections: 100,
  maxConnectionsPerClient: 100,
  maxRequestsPerConnection: 0,
  http2: null,
  limits: LIMITS,
  timeouts: { headMs: 1000, bodyMs: 1000, sendMs: 1000, idleMs: 1000 },
  headers: { underscore: 'drop', forwarded: 'none', via: null, requestId: true },
  path: { mergeSlashes: true, escapedSlashes: 'reject' },
}

/** The client: remembers what it was sent. */
export class FakeClient implements DownstreamStream {
  heads = 0
  continues = 0
  status = 0
  contentLength = -1
  headers: [string, string][] = []
  body = ''
  ended = false
  aborted = false
  finished = 0
  paused = false

  sendInformational(): void {}
  sendContinue(): void {
    this.continues++
  }
  sendHead(x: Exchange): void {
    const head = x.response as ResponseHead
    this.heads++
    this.status = head.status
    this.contentLength = head.contentLength
    this.headers = head.headers.toPairs()
  }
  sendBody(bytes: Buffer, start: number, end: number): boolean {
    this.body += bytes.toString('latin1', start, end)
    return true
  }
  sendEnd(): void {
    this.ended = true
  }
  flush(): void {}
  abort(): void {
    this.aborted = true
  }
  pauseRequest(): void {
    this.paused = true
  }
  resumeRequest(): void {
    this.paused = false
  }
  onFinished(): void {
    this.finished++
  }

  header(name: string): string | undefined {
    return this.headers.find(([key]) => key.toLowerCase() === name)?.[1]
  }
}

export interface RequestOptions {
  listener?: Partial<HttpListenerConfig>
  clientIp?: string
}

/** A request head as bytes, lines joined by LF, turned into an exchange whose target is resolved. */
export function createExchange(head: string, options: RequestOptions = {}, client = new FakeClient()): Exchange {
  const request = new RequestHead()
  const text = `${head.replaceAll('\n', '\r\n')}\r\n\r\n`
  assert.equal(parseRequestHead(text, request, LIMITS), text.length, 'the request of the test is not valid')
  const listener: ListenerContext = { name: 'web', port: 8080, config: { ...LISTENER_CONFIG, ...options.listener } }
  const connection = { remoteAddress: options.clientIp ?? '192.0.2.7', forwarding: new ForwardingLines(), secure: null }
  const x = new Exchange(client, listener, request, connection, 1)
  x.requestComplete = !x.hasRequestBody
  assert.equal(resolveTarget(x), null)
  return x
}

/** An exchange for a path, with query if it has one. */
export function exchangeOf(target: string, options: RequestOptions = {}): Exchange {
  return createExchange(`GET ${target} HTTP/1.1\nHost: api.example.com:8080`, options)
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve()
  await new Promise((resolve) => setImmediate(resolve))
}

/** The endpoint: remembers what it was sent, and answers when told. */
export class FakeUpstream implements UpstreamConnection {
  readonly #proxy: RequestHandler
  attempt: Attempt | null = null
  head = ''
  body = ''
  ended = false
  cancelled = false
  paused = false

  constructor(proxy: RequestHandler) {
    this.#proxy = proxy
  }

  send(attempt: Attempt): void {
    const { exchange } = attempt
    this.attempt = attempt
    attempt.connection = this
    attempt.sent = true
    const { request } = exchange
    const framing = request.chunked ? 'chunked' : String(request.contentLength)
    this.head = `${exchange.method} ${exchange.target} host=${exchange.upstreamHost ?? exchange.authority} body=${framing}`
    this.#proxy.onReady(attempt)
  }
  sendBody(bytes: Buffer, start: number, end: number): boolean {
    this.body += bytes.toString('latin1', start, end)
    return true
  }
  sendEnd(): void {
    this.ended = true
  }
  flush(): void {}
  pauseResponse(): void {
    this.paused = true
  }
  resumeResponse(): void {
    this.paused = false
  }
  cancel(): void {
    this.cancelled = true
    if (this.attempt !== null) this.attempt.connection = null
    this.attempt = null
  }

  respondHead(head: string): void {
    const response = new ResponseHead()
    const text = `HTTP/1.1 ${head.replaceAll('\n', '\r\n')}\r\n\r\n`
    assert.equal(parseResponseHead(text, response, LIMITS), text.length)
    const attempt = this.attempt as Attempt
    attempt.headReceived = true
    this.#proxy.onHead(attempt, response)
  }
  /** False when the proxy wants a pause. */
  respondBody(text: string): boolean {
    const bytes = Buffer.from(text, 'latin1') as WireBuffer
    if (this.attempt === null) return true
    const proceed = this.#proxy.onBody(this.attempt, bytes, 0, bytes.length, false)
    if (!proceed) this.paused = true
    return proceed
  }
  respondEnd(): void {
    const { attempt } = this
    if (attempt === null) return
    attempt.connection = null
    this.attempt = null
    this.#proxy.onEnd(attempt, '')
  }
  fail(code: ErrorCode): void {
    const attempt = this.attempt as Attempt
    attempt.connection = null
    this.attempt = null
    this.#proxy.onFailure(attempt, code, 'of the test')
  }
  respond(head: string, body = ''): void {
    this.respondHead(head)
    if (body !== '') this.respondBody(body)
    this.respondEnd()
  }
}

/** One exchange on a route with these filters, driven by the real RequestHandler. */
export class Driver {
  readonly clock = new ManualClock(1000)
  readonly wheel = new TimerWheel(this.clock, { automatic: false })
  readonly defects: { error: unknown; where: string }[] = []
  readonly client = new FakeClient()
  readonly proxy: RequestHandler
  readonly upstream: FakeUpstream
  readonly x: Exchange
  /** Whether the request has reached the upstream. */
  get isSent(): boolean {
    return this.upstream.head !== ''
  }

  constructor(
    filters: readonly Filter[],
    head: string,
    options: RequestOptions & { params?: Record<string, string>; answer?: string } = {},
  ) {
    const { answer } = options
    const service = this.#service()
    const route = {
      name: 'users',
      filters,
      single: service,
      weighted: null,
      answer: answer === undefined ? null : () => ({ status: 200, headers: [], body: Buffer.from(answer) }),
      maxBodyBytes: null,
      requestMs: null,
      perTryMs: null,
      importance: 1,
      limit: null,
      fallback: null,
      fallbacks: null,
      webSocket: null,
      isUpgradeOnly: false,
    } as unknown as CompiledRoute
    const context = {
      clock: this.clock,
      random: () => 0.5,
      wheel: this.wheel,
      fineWheel: this.wheel,
      errors: { add() {} },
      nextRequestId: () => 'id-1',
      accessLog: null,
      logConnection: null,
      onDefect: (error: unknown, where: string) => this.defects.push({ error, where }),
      snapshot: {
        generation: 1,
        routes: { match: () => ({ route, params: options.params ?? null }) },
        listeners: new Map(),
        shedder: null,
      },
    } as unknown as ProxyContext
    this.proxy = new RequestHandler(context)
    this.upstream = new FakeUpstream(this.proxy)
    this.x = createExchange(head, options, this.client)
    const metrics = { finish() {}, grpc: { finish() {} } }
    Object.assign(this.x.listener, {
      trusted: null,
      tls: null,
      toHttps: null,
      subjectHeaders: null,
      metrics: { requestsInFlight: { add() {} } },
      unmatched: metrics,
      metricsOf: () => metrics,
    })
  }

  #service(): unknown {
    const endpoint = { address: '127.0.0.1:9001', state: { begin() {}, end() {} } }
    return {
      service: {
        name: 'users',
        keys: null,
        sticky: null,
        picker: { pick: () => ({ kind: 'endpoint', endpoint }) },
        config: { timeouts: { requestMs: 15_000, perTryMs: null, idleMs: 60_000 } },
      },
      metrics: { attempt() {} },
      limit: null,
      tracksLatency: false,
      retry: null,
      breaker: null,
      breakers: null,
      hedge: null,
      announcer: null,
      pool: () => ({ acquire: (attempt: Attempt) => this.upstream.send(attempt) }),
    }
  }

  start(): this {
    this.proxy.onRequest(this.x)
    return this
  }

  /** A piece of the request body. False when the proxy wants a pause. */
  requestBody(text: string): boolean {
    const bytes = Buffer.from(text, 'latin1')
    const proceed = this.proxy.onRequestBody(this.x, bytes, 0, bytes.length, false)
    if (!proceed) this.client.paused = true
    return proceed
  }
  requestEnd(): void {
    this.proxy.onRequestEnd(this.x, '')
  }

  /** Lets the time pass that a request may take. */
  timeOut(): void {
    this.clock.advance(15_100)
    this.wheel.tick()
  }
}
