import type { Random } from '../base/clock.ts'
import type { ErrorCode } from '../base/error.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import { CONNECTION_UPGRADE } from '../codec/http1/head.ts'
import {
  CLOSE_GOING_AWAY,
  CLOSE_POLICY,
  CLOSE_TOO_BIG,
  createCloseFrame,
  createWebSocketKey,
  FrameTracker,
  isWebSocketKey,
  PING_FRAME,
  WEBSOCKET_VERSION,
} from '../codec/websocket.ts'
import type { WebSocketConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { WebSocketMetrics } from '../observe/websocket-metrics.ts'
import type { CompiledRoute, ListenerRuntime, ProxyContext } from './runtime.ts'

/** Of protocols other than WebSocket. */
const DEFAULT_IDLE_MS = 5 * 60_000
/** The end of the client's Close frame must come within this time after ours. */
const CLOSE_WAIT_MS = 5000
const WEBSOCKET = 'websocket'
/** Of those in Upgrade, so many are looked at. */
const MAX_PROTOCOLS = 10

/** The WebSockets of one route in this worker; they outlive the configuration they began with. */
export class OpenWebSockets {
  readonly metrics: WebSocketMetrics
  count = 0
  readonly #byClient = new Map<string, number>()

  constructor(metrics: WebSocketMetrics) {
    this.metrics = metrics
  }

  of(client: string): number {
    return this.#byClient.get(client) ?? 0
  }

  add(client: string): void {
    this.count++
    this.metrics.open.add(1)
    this.#byClient.set(client, this.of(client) + 1)
  }

  remove(client: string): void {
    this.count--
    this.metrics.open.add(-1)
    const left = this.of(client) - 1
    if (left <= 0) this.#byClient.delete(client)
    else this.#byClient.set(client, left)
  }
}

/** What a route needs for WebSockets, ready for use. The limits are those of this worker; null: none. */
export interface WebSocketRuntime {
  readonly config: WebSocketConfig
  readonly open: OpenWebSockets
  readonly maxOpen: number | null
  readonly maxOpenPerClient: number | null
}

export function createWebSocketRuntime(config: WebSocketConfig, open: OpenWebSockets, workers: number): WebSocketRuntime {
  const share = (limit: number | null) => (limit === null ? null : Math.ceil(limit / workers))
  return { config, open, maxOpen: share(config.maxConnections), maxOpenPerClient: share(config.maxConnectionsPerClient) }
}

/**
 * A request that asks for another protocol (RFC 9110 section 7.8; RFC 8441 for HTTP/2), or that comes to a route which serves nothing else.
 * Sets `x.upgrade` when it may have it. A protocol that is not known here is not refused: the request goes on without it, as the RFC allows.
 * Returns what is wrong with the request, or null.
 */
export function readUpgrade(x: Exchange, route: CompiledRoute, random: Random): ErrorCode | null {
  const { request } = x
  const isOverHttp2 = request.protocol !== ''
  let wanted = ''
  if (isOverHttp2) wanted = request.protocol.toLowerCase()
  else if ((request.connection & CONNECTION_UPGRADE) !== 0) wanted = chooseProtocol(request.headers.getAll('upgrade'), route)
  if (wanted === WEBSOCKET) return isOverHttp2 ? readConnect(x, route, random) : readWebSocket(x, route)
  const isLetThrough = wanted !== '' && route.config.upgrades.includes(wanted)
  if (isLetThrough && request.minor === 1 && !x.hasRequestBody) {
    x.upgrade = wanted
    return null
  }
  // RFC 9220 section 3. A CONNECT cannot go on without its protocol.
  if (isOverHttp2) return 'not_implemented'
  return route.webSocket?.config.isRequired === true ? refuse(x, 'upgrade_required') : null
}

/** Of what a client would change to, WebSocket or the first that the route lets through: who asks for several leaves the choice to us. */
function chooseProtocol(lines: readonly string[], { config }: CompiledRoute): string {
  const names = lines.join(',').split(',', MAX_PROTOCOLS)
  let first = ''
  for (const name of names) {
    const wanted = name.trim().toLowerCase()
    if (wanted === WEBSOCKET) return WEBSOCKET
    if (first === '' && config.upgrades.includes(wanted)) first = wanted
  }
  return first
}

function readWebSocket(x: Exchange, route: CompiledRoute): ErrorCode | null {
  const { request } = x
  const { webSocket } = route
  if (webSocket === null) return 'upgrade_refused'
  const { headers } = request
  if (request.method !== 'GET' || request.minor !== 1 || x.hasRequestBody) return 'bad_request'
  // RFC 6455 section 4.4: the answer says which version would do.
  if (headers.get('sec-websocket-version') !== WEBSOCKET_VERSION) return refuse(x, 'upgrade_required')
  if (headers.getAll('sec-websocket-key').length !== 1 || !isWebSocketKey(headers.get('sec-websocket-key') ?? '')) return 'bad_request'
  return admit(x, webSocket)
}

/** RFC 8441 section 5: the same without a key. The endpoint may speak HTTP/1.1 and want one: it gets ours. */
function readConnect(x: Exchange, route: CompiledRoute, random: Random): ErrorCode | null {
  const { webSocket } = route
  if (webSocket === null) return 'upgrade_refused'
  const { headers } = x.request
  if (headers.get('sec-websocket-version') !== WEBSOCKET_VERSION) {
    // There is no 426 without an Upgrade field, and no such field in HTTP/2.
    x.errorHeaders = ['Sec-WebSocket-Version', WEBSOCKET_VERSION]
    return 'bad_request'
  }
  headers.set('Sec-WebSocket-Key', createWebSocketKey(random))
  return admit(x, webSocket)
}

function admit(x: Exchange, webSocket: WebSocketRuntime): ErrorCode | null {
  const { headers } = x.request
  const { origins } = webSocket.config
  if (origins !== null && !isAllowedOrigin(headers.get('origin'), origins)) return 'upgrade_refused'
  if (webSocket.maxOpen !== null && webSocket.open.count >= webSocket.maxOpen) return 'websocket_overflow'
  const { maxOpenPerClient } = webSocket
  if (maxOpenPerClient !== null && webSocket.open.of(x.clientIp) >= maxOpenPerClient) return 'websocket_overflow'
  x.upgrade = WEBSOCKET
  return null
}

function refuse(x: Exchange, code: ErrorCode): ErrorCode {
  x.errorHeaders = ['Connection', 'Upgrade', 'Upgrade', WEBSOCKET, 'Sec-WebSocket-Version', WEBSOCKET_VERSION]
  return code
}

function isAllowedOrigin(origin: string | undefined, allowed: readonly string[]): boolean {
  if (origin === undefined) return false
  const lower = origin.toLowerCase()
  return allowed.some((pattern) => {
    const star = pattern.indexOf('*.')
    if (star === -1) return lower === pattern
    const [scheme, rest] = [pattern.slice(0, star), pattern.slice(star + 1)]
    return lower.startsWith(scheme) && lower.endsWith(rest) && lower.length > scheme.length + rest.length
  })
}

/**
 * An exchange whose two sides speak another protocol than HTTP: their bytes pass as they come. For a WebSocket the frames are followed, to
 * count them, to hold the client to its limits, and to find the place for a Close frame of our own.
 */
export class UpgradeTunnel extends Timed {
  readonly #x: Exchange
  readonly #webSocket: WebSocketRuntime | null
  readonly #wheel: TimerWheel
  readonly #now: () => number
  /** The exchange ends here: what was written still goes out. */
  readonly #end: (x: Exchange) => void
  readonly #fromClient: FrameTracker | null
  readonly #fromEndpoint: FrameTracker | null
  readonly idleMs: number
  #closeCode = 0
  #closeReason = ''
  /** Our Close frame has gone out: what the endpoint still says does not matter. */
  #isClosed = false
  #dieAtMs = 0
  #pingAtMs = 0
  #tokens = 0
  #tokensAtMs = 0
  #isOver = false

  constructor(x: Exchange, route: CompiledRoute, options: { wheel: TimerWheel; now: () => number; end: (x: Exchange) => void }) {
    super()
    this.#x = x
    this.#webSocket = x.upgrade === WEBSOCKET ? route.webSocket : null
    this.#wheel = options.wheel
    this.#now = options.now
    this.#end = options.end
    this.#fromClient = this.#webSocket === null ? null : new FrameTracker()
    this.#fromEndpoint = this.#webSocket === null ? null : new FrameTracker()
    this.idleMs = this.#webSocket?.config.idleMs ?? DEFAULT_IDLE_MS
    this.#start()
  }

  #start(): void {
    const webSocket = this.#webSocket
    if (webSocket === null) return
    const { config, open } = webSocket
    const nowMs = this.#now()
    open.add(this.#x.clientIp)
    if (config.maxLifetimeMs !== null) this.#dieAtMs = nowMs + config.maxLifetimeMs
    if (config.pingMs !== null) this.#pingAtMs = nowMs + config.pingMs
    this.#tokens = config.messagesPerSecond ?? 0
    this.#tokensAtMs = nowMs
    this.#arm()
  }

  /** Bytes of the client. False: they break a rule and go nowhere. */
  onRequest(bytes: Uint8Array, start: number, end: number): boolean {
    const tracker = this.#fromClient
    if (tracker === null) return true
    const { config, open } = this.#webSocket as WebSocketRuntime
    const { frames, messages } = tracker
    tracker.read(bytes, start, end)
    open.metrics.received.add(tracker.frames - frames)
    if (config.maxMessageBytes !== null && tracker.largestBytes > config.maxMessageBytes) {
      this.close(CLOSE_TOO_BIG, 'message too big')
      return false
    }
    if (config.messagesPerSecond !== null && !this.#takeTokens(tracker.messages - messages, config.messagesPerSecond)) {
      this.close(CLOSE_POLICY, 'too many messages')
      return false
    }
    return true
  }

  #takeTokens(count: number, perSecond: number): boolean {
    if (count === 0) return true
    const nowMs = this.#now()
    this.#tokens = Math.min(perSecond, this.#tokens + ((nowMs - this.#tokensAtMs) * perSecond) / 1000) - count
    this.#tokensAtMs = nowMs
    return this.#tokens >= 0
  }

  /** Bytes of the endpoint: how many of them go to the client. */
  onResponse(bytes: Uint8Array, start: number, end: number): number {
    if (this.#isClosed) return start
    const tracker = this.#fromEndpoint
    if (tracker === null) return end
    const { frames } = tracker
    const boundary = tracker.read(bytes, start, end)
    ;(this.#webSocket as WebSocketRuntime).open.metrics.sent.add(tracker.frames - frames)
    return this.#closeCode === 0 || boundary === -1 ? end : boundary
  }

  /** After the bytes of `onResponse` have gone on: the place may have come for a Close frame that waits for it. */
  afterResponse(): void {
    if (this.#closeCode !== 0 && !this.#isClosed && (this.#fromEndpoint?.isAtBoundary ?? true)) this.#sendClose()
  }

  /** The gateway is shutting down. */
  goAway(): void {
    this.close(CLOSE_GOING_AWAY, 'going away')
  }

  /** Closes with this code as soon as no frame is cut in two. */
  close(code: number, reason: string): void {
    if (this.#closeCode !== 0 || this.#isOver) return
    this.#closeCode = code
    this.#closeReason = reason
    this.#dieAtMs = this.#now() + CLOSE_WAIT_MS
    this.#arm()
    if (this.#webSocket === null) this.#end(this.#x)
    else if (this.#fromEndpoint?.isAtBoundary === true) this.#sendClose()
  }

  #sendClose(): void {
    this.#isClosed = true
    const { downstream } = this.#x
    // The endpoint has closed already: one Close frame is enough.
    if (this.#fromEndpoint?.isClosing !== true) {
      const frame = createCloseFrame(this.#closeCode, this.#closeReason)
      downstream.sendBody(frame, 0, frame.length, false)
    }
    downstream.flush()
    // A client that breaks rules is not listened to any more. Going away is agreed on with the endpoint: the client's answer tells it.
    if (this.#closeCode !== CLOSE_GOING_AWAY) this.#end(this.#x)
  }

  #arm(): void {
    const { pingMs } = this.#webSocket?.config ?? { pingMs: null }
    if (pingMs === null && this.#dieAtMs === 0) return
    const nextMs = this.#dieAtMs === 0 ? this.#pingAtMs : pingMs === null ? this.#dieAtMs : Math.min(this.#dieAtMs, this.#pingAtMs)
    this.#wheel.arm(this, nextMs)
  }

  override onDeadline(nowMs: number): void {
    if (this.#isOver) return
    if (this.#dieAtMs !== 0 && nowMs >= this.#dieAtMs) {
      if (this.#closeCode !== 0) return this.#end(this.#x)
      return this.goAway()
    }
    const pingMs = this.#webSocket?.config.pingMs ?? null
    if (pingMs !== null && nowMs >= this.#pingAtMs) {
      this.#pingAtMs = nowMs + pingMs
      this.#ping()
    }
    this.#arm()
  }

  #ping(): void {
    if (this.#isClosed || this.#fromEndpoint?.isAtBoundary !== true || this.#x.responseBlocked) return
    this.#x.downstream.sendBody(PING_FRAME, 0, PING_FRAME.length, false)
    this.#x.downstream.flush()
  }

  /** The exchange is over. */
  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#wheel.remove(this)
    this.#webSocket?.open.remove(this.#x.clientIp)
  }
}

/** `end`: called when the tunnel is over from our side. */
export function createTunnel(x: Exchange, { wheel, clock }: ProxyContext, end: (x: Exchange) => void): UpgradeTunnel {
  return new UpgradeTunnel(x, x.route as CompiledRoute, { wheel, now: clock.now, end })
}

/**
 * The endpoint has answered a request for another protocol: with 101 it is spoken from here on. False: it has answered as if nothing had been
 * asked, and in HTTP/2 that would read as consent.
 */
export function changeProtocol(x: Exchange, status: number, tunnel: () => UpgradeTunnel): boolean {
  if (status !== 101) {
    // A fallback is still asked for the protocol.
    if (isConsent(x, status)) return false
    x.upgrade = ''
    return true
  }
  x.tunnel = tunnel()
  x.maxBodyBytes = Number.POSITIVE_INFINITY
  x.requestComplete = false
  return true
}

/** To an extended CONNECT every 2xx says that the tunnel is open (RFC 8441 section 4, RFC 9110 section 9.3.6). */
export function isConsent(x: Exchange, status: number): boolean {
  return status >= 200 && status < 300 && x.request.protocol !== ''
}

/** The tunnel stands: what the client said before it knew that it may goes on. One that comes to a listener on its way out is closed at once. */
export function sendHeld(x: Exchange): void {
  sendToEndpoint(x)
  if ((x.listener as ListenerRuntime).life.isDraining) x.tunnel?.goAway()
}

function sendToEndpoint(x: Exchange): void {
  const { heldRequest } = x
  const connection = x.attempt?.connection ?? null
  x.heldRequest = null
  x.heldRequestBytes = 0
  if (connection === null) return
  for (const piece of heldRequest ?? []) {
    if (x.tunnel?.onRequest(piece, 0, piece.length) !== true) break
    connection.sendBody(piece, 0, piece.length, false)
  }
  connection.flush()
  x.downstream.resumeRequest()
}
