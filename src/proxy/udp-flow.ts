import dgram from 'node:dgram'
import net from 'node:net'
import type { ErrorCode } from '../base/error.ts'
import { Timed } from '../base/timers.ts'
import { type Breaker, REJECTED } from '../breaker/breaker.ts'
import type { UdpTraffic } from '../observe/udp-metrics.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { PickContext } from '../service/picker.ts'
import type { LookupCache } from '../upstream/connector.ts'
import { TcpEntry } from './tcp-entry.ts'
import type { TcpContext } from './tcp-runtime.ts'
import type { UdpRuntime } from './udp-runtime.ts'

/** How a flow ended in order; otherwise it is an ErrorCode. */
export type FlowEnd = 'answered' | 'idle' | 'replaced' | 'closed'

/** What a flow needs of its table. */
export interface FlowOwner {
  readonly context: TcpContext
  /** Sends a reply from the listening address. False: it was dropped. */
  reply(bytes: Buffer, port: number, address: string): boolean
  /** A datagram went either way. */
  touch(flow: UdpFlow, nowMs: number): void
  /** The last call, once. */
  onFlowEnd(flow: UdpFlow): void
}

/** Datagrams that wait for the socket to be connected, which takes a turn or a lookup. */
const MAX_WAITING = 16
/** What may wait in a socket whose send buffer is full. */
const MAX_QUEUED_BYTES = 1024 * 1024
/** The last datagram up to this size is kept until the endpoint has answered once, to be sent to another when that one refuses. */
const MAX_KEPT_BYTES = 4096

/** What an endpoint that is not there, or cannot be reached, makes of a datagram (ICMP). */
const UNREACHABLE = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENOTFOUND', 'EAI_AGAIN', 'EAFNOSUPPORT'])

/**
 * The datagrams between one client address and port and one endpoint:
 *
 *   1 pick      breaker, picker: once for the flow, not for each datagram
 *   2 connect   a socket of its own, so that replies tell whose they are and ICMP errors come back
 *   3 pass on   both ways, until silence, or the last expected reply
 *   4 finish    once: endpoint state, metrics, access log
 */
export class UdpFlow extends Timed implements PickContext {
  readonly runtime: UdpRuntime
  readonly key: string
  /** When it was last moved to the end of the table's order. */
  orderedMs: number
  lastMs: number
  readonly #owner: FlowOwner
  readonly #address: string
  readonly #port: number
  readonly #startedMs: number
  readonly #traffic: UdpTraffic
  #socket: dgram.Socket | null = null
  #isConnected = false
  #waiting: Buffer[] | null = null
  #kept: Buffer | null = null
  #endpoint: Endpoint | null = null
  #attempts = 0
  #attemptMs = 0
  #breaker: Breaker | null = null
  /** 0: none, or recorded. */
  #breakerToken = 0
  /** The endpoint has replied to this flow. */
  #hasReply = false
  #expected = 0
  #isFinished = false
  #receivedBytes = 0
  #sentBytes = 0
  // What balancing looks at.
  readonly clientIp: string
  nowMs: number
  tried: Endpoint[] | null = null
  hashKey: string | null = null
  stickyKey: string | null = null
  subsetKey: string | null = null
  readonly path = ''
  readonly query = ''

  constructor(owner: FlowOwner, runtime: UdpRuntime, key: string, client: { address: string; port: number; ip: string }, nowMs: number) {
    super()
    this.#owner = owner
    this.runtime = runtime
    this.key = key
    this.#address = client.address
    this.#port = client.port
    this.clientIp = client.ip
    this.#startedMs = nowMs
    this.nowMs = nowMs
    this.lastMs = nowMs
    this.orderedMs = nowMs
    this.#traffic = runtime.metrics.traffic(runtime.service.service.name)
  }

  header(): undefined {
    return undefined
  }

  /** The client has sent something that has no answer yet, as far as can be known. */
  get isWaiting(): boolean {
    return !this.#isFinished && (this.runtime.config.replies === null ? !this.#hasReply : this.#expected > 0)
  }

  // ---- 1 pick ----

  /** False: there is no endpoint, and the flow is over. */
  start(): boolean {
    this.runtime.service.service.keys?.read(this)
    return this.#connect()
  }

  #connect(): boolean {
    const { service, breaker, breakers } = this.runtime.service
    const nowMs = this.#owner.context.clock.now()
    this.nowMs = nowMs
    this.#breaker = breaker
    this.#breakerToken = breaker === null ? 0 : breaker.allow(nowMs)
    if (breaker !== null && this.#breakerToken === REJECTED) return this.#refuse('breaker-open', 'breaker_open')
    const pick = breakers === null ? service.picker.pick(this) : breakers.pick(this, service.picker)
    if (pick.kind === 'none') {
      breaker?.record(this.#breakerToken, 'neutral', 0, nowMs)
      return this.#refuse('no-endpoint', 'no_endpoint')
    }
    if (breakers !== null) {
      this.#breaker = breakers.of(pick.endpoint)
      this.#breakerToken = breakers.token
      if (this.#breakerToken === REJECTED) return this.#refuse('breaker-open', 'breaker_open')
    }
    this.#endpoint = pick.endpoint
    this.#attempts++
    this.#attemptMs = nowMs
    pick.endpoint.state.begin()
    this.#open(pick.endpoint)
    return true
  }

  #refuse(reason: 'breaker-open' | 'no-endpoint', code: ErrorCode): false {
    this.runtime.metrics.dropped(reason)
    if (code === 'breaker_open') this.runtime.service.metrics.breakerRejected()
    this.finish(code)
    return false
  }

  // ---- 2 connect ----

  #open(endpoint: Endpoint): void {
    resolveAddress(endpoint.host, this.runtime.lookups, (error, address, family) => {
      if (this.#isFinished || this.#endpoint !== endpoint) return
      if (error !== null) {
        this.#onError(error)
        return
      }
      let socket: dgram.Socket
      try {
        socket = dgram.createSocket(family === 6 ? 'udp6' : 'udp4')
      } catch {
        // No descriptor is left. The endpoint cannot help it.
        this.runtime.metrics.dropped('send-failed')
        this.finish('overloaded')
        return
      }
      this.#socket = socket
      socket.on('error', (failure) => {
        if (socket === this.#socket) this.#onError(failure)
      })
      socket.on('message', (bytes) => {
        if (socket === this.#socket) this.#onReply(bytes)
      })
      socket.connect(endpoint.port, address, () => {
        if (socket === this.#socket) this.#onConnected()
      })
    })
  }

  #onConnected(): void {
    this.#isConnected = true
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting !== null) for (const bytes of waiting) this.#send(bytes)
  }

  // ---- 3 pass on ----

  /** A datagram of the client. */
  receive(bytes: Buffer, nowMs: number): void {
    this.lastMs = nowMs
    this.#owner.touch(this, nowMs)
    this.#receivedBytes += bytes.length
    this.#traffic.receivedDatagrams.add(1)
    this.#traffic.receivedBytes.add(bytes.length)
    const { replies, idleTimeoutMs } = this.runtime.config
    if (replies !== null) this.#expected += replies
    this.#owner.context.wheel.arm(this, nowMs + idleTimeoutMs)
    if (!this.#hasReply) this.#kept = bytes.length <= MAX_KEPT_BYTES ? bytes : null
    if (this.#isConnected) this.#send(bytes)
    else {
      this.#waiting ??= []
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(bytes)
      else this.runtime.metrics.dropped('queue-full')
    }
  }

  #send(bytes: Buffer): void {
    const socket = this.#socket as dgram.Socket
    if (socket.getSendQueueSize() > MAX_QUEUED_BYTES) this.runtime.metrics.dropped('queue-full')
    else socket.send(bytes)
  }

  #onReply(bytes: Buffer): void {
    const nowMs = this.#owner.context.clock.now()
    this.lastMs = nowMs
    this.#owner.touch(this, nowMs)
    if (!this.#hasReply) {
      this.#hasReply = true
      this.#kept = null
      this.#endAttempt('success', null)
    }
    if (this.#owner.reply(bytes, this.#port, this.#address)) {
      this.#sentBytes += bytes.length
      this.#traffic.sentDatagrams.add(1)
      this.#traffic.sentBytes.add(bytes.length)
    }
    const { replies, idleTimeoutMs } = this.runtime.config
    if (replies !== null && --this.#expected <= 0) this.finish('answered')
    else this.#owner.context.wheel.arm(this, nowMs + idleTimeoutMs)
  }

  #onError(error: NodeJS.ErrnoException): void {
    if (this.#isFinished) return
    if (!UNREACHABLE.has(error.code ?? '')) {
      // Too large for the path, or no memory in the kernel: one datagram is lost, as datagrams are.
      this.runtime.metrics.dropped('send-failed')
      // Without a socket (no descriptor is left) there will be none for the next one either.
      if (!this.#isConnected) this.finish('overloaded')
      return
    }
    this.#endAttempt('failure', 'connect_failed')
    this.tried ??= []
    this.tried.push(this.#endpoint as Endpoint)
    this.#closeSocket()
    this.#endpoint = null
    this.#hasReply = false
    const { config, service } = this.runtime
    if (this.#attempts >= config.connectAttempts || this.tried.length >= service.service.endpoints.length) {
      this.runtime.metrics.dropped('unreachable')
      this.finish('connect_failed')
      return
    }
    // What the endpoint before did not take goes to the next: the datagrams that wait, or the last one that was sent.
    if (this.#waiting === null && this.#kept !== null) this.#waiting = [this.#kept]
    this.#connect()
  }

  #endAttempt(outcome: 'success' | 'failure' | 'neutral', error: ErrorCode | null): void {
    const nowMs = this.#owner.context.clock.now()
    const durationMs = nowMs - this.#attemptMs
    // A flow that has a reply is in use until it ends, and silence then says nothing about the endpoint.
    if (outcome === 'success') this.#endpoint?.state.settle(outcome, nowMs, durationMs)
    else this.#endpoint?.state.end(outcome, nowMs)
    // Once for each attempt: its first reply, or its end without one.
    if (this.#breakerToken !== 0) this.#breaker?.record(this.#breakerToken, outcome, durationMs, nowMs)
    this.#breakerToken = 0
    this.runtime.service.metrics.attempt(outcome, durationMs, error)
  }

  override onDeadline(): void {
    this.finish('idle')
  }

  // ---- 4 finish ----

  finish(result: FlowEnd | ErrorCode): void {
    if (this.#isFinished) return
    this.#isFinished = true
    const { context } = this.#owner
    context.wheel.remove(this)
    if (this.#endpoint !== null) {
      if (this.#hasReply) this.#endpoint.state.end('neutral', context.clock.now())
      // Who says how many replies there are says that silence is a fault.
      else if (result === 'idle' && this.runtime.config.replies !== null) this.#endAttempt('failure', 'upstream_timeout')
      else this.#endAttempt('neutral', null)
    }
    this.#closeSocket()
    this.#waiting = null
    this.#kept = null
    this.runtime.metrics.ended(result)
    const error = isOrderly(result) ? null : result
    if (error !== null) context.errors.add(error)
    context.logConnection?.(this.#entry(error))
    this.#owner.onFlowEnd(this)
  }

  #entry(error: ErrorCode | null): TcpEntry {
    const { context } = this.#owner
    const nowMs = context.clock.now()
    return new TcpEntry({
      protocol: 'UDP',
      listener: this.runtime.name,
      service: this.runtime.service.service.name,
      endpoint: this.#endpoint?.address ?? '',
      clientIp: this.clientIp,
      serverName: '',
      receivedBytes: this.#receivedBytes,
      sentBytes: this.#sentBytes,
      wallMs: context.clock.wallClock(),
      durationMs: nowMs - this.#startedMs,
      upstreamMs: this.#endpoint === null ? -1 : nowMs - this.#attemptMs,
      attempts: this.#attempts,
      error,
    })
  }

  #closeSocket(): void {
    const socket = this.#socket
    this.#socket = null
    this.#isConnected = false
    if (socket === null) return
    // What is being sent may still fail.
    socket.removeAllListeners().on('error', () => undefined)
    socket.close()
  }
}

function isOrderly(result: FlowEnd | ErrorCode): result is FlowEnd {
  return result === 'answered' || result === 'idle' || result === 'replaced' || result === 'closed'
}

function resolveAddress(
  host: string,
  lookups: LookupCache,
  done: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  const family = net.isIP(bare)
  if (family !== 0) done(null, bare, family)
  else lookups.lookup(bare, {}, (error, address, found) => done(error, address as string, found ?? 4))
}
