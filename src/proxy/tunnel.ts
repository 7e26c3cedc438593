import type { Clock } from '../base/clock.ts'
import type { ErrorCode } from '../base/error.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import type { Wire, WireBuffer, WireOwner } from '../base/wire.ts'
import type { DownstreamStream } from '../exchange/contracts.ts'
import type { TunnelMetrics } from '../observe/tunnel-metrics.ts'
import { IdleWatch } from './idle-watch.ts'
import { type RelayOwner, RelaySide } from './relay.ts'

/** A downstream connection that can go on in another protocol: HTTP/1.1. */
export interface TakeoverStream extends DownstreamStream {
  /**
   * Hands the connection over: its wire has this owner from now on, and reading waits for `resume`. The stream hears no more of it and is
   * gone when its exchange is finished. null when the connection is gone already. Not from within `onRequest`.
   */
  takeOver(owner: WireOwner): Takeover | null
}

export interface Takeover {
  readonly wire: Wire
  /** What the client has sent behind its request. */
  readonly ahead: Buffer | null
  /** The client has said that it sends no more. */
  readonly hasEnded: boolean
}

export interface TunnelOptions {
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly metrics: TunnelMetrics
  /** Longest time without a byte either way; 0 is no limit. */
  readonly idleMs: number
  /** Longest life; 0 is no limit. */
  readonly lifetimeMs: number
  /** Once, when both sides are done; null: in order. */
  readonly onEnd: (tunnel: Tunnel, code: ErrorCode | null) => void
}

/**
 * Two wires whose bytes go to each other, from the moment both stand: what CONNECT and Upgrade lead to. FINs are passed on, a side that is
 * full pauses the other (relay.ts).
 */
export class Tunnel extends Timed implements RelayOwner {
  readonly client: RelaySide
  readonly upstream: RelaySide
  readonly #options: TunnelOptions
  readonly #untilMs: number
  #isFinished = false
  #activeMs = 0
  #idle: IdleWatch | null = null

  constructor(options: TunnelOptions) {
    super()
    this.#options = options
    this.client = new RelaySide(this)
    this.upstream = new RelaySide(this)
    this.#untilMs = options.lifetimeMs > 0 ? options.clock.now() + options.lifetimeMs : Number.POSITIVE_INFINITY
  }

  /** Bytes from the client so far. */
  get receivedBytes(): number {
    return this.client.bytes
  }

  /** Bytes to the client so far. */
  get sentBytes(): number {
    return this.upstream.bytes
  }

  /**
   * Both wires belong to the sides of this tunnel already. `behind` is what the upstream has said behind its own handshake.
   */
  start(client: Takeover, upstream: Wire, behind: Buffer | null): void {
    const { metrics } = this.#options
    metrics.open.add(1)
    this.client.wire = client.wire
    this.upstream.wire = upstream
    this.client.join(this.upstream, metrics.received)
    this.upstream.join(this.client, metrics.sent)
    this.onActivity()
    if (behind !== null) this.upstream.onData(behind as WireBuffer, behind.length)
    if (client.ahead !== null) this.client.onData(client.ahead as WireBuffer, client.ahead.length)
    if (client.hasEnded) this.client.onEnd()
    this.client.resume()
    this.upstream.resume()
  }

  /** There is nothing early: the sides are joined before either is read. */
  onEarlyData(): boolean {
    return false
  }

  onEarlyEnd(): void {}

  onActivity(): number {
    const nowMs = this.#options.clock.now()
    this.#activeMs = nowMs
    this.#arm(nowMs)
    return nowMs
  }

  #arm(nowMs: number): void {
    const { idleMs, wheel } = this.#options
    const untilMs = idleMs > 0 ? Math.min(nowMs + idleMs, this.#untilMs) : this.#untilMs
    if (untilMs !== Number.POSITIVE_INFINITY) wheel.arm(this, untilMs)
  }

  override onDeadline(nowMs: number): void {
    this.#idle ??= new IdleWatch()
    if (nowMs < this.#untilMs && this.#idle.isMoving(this.#activeMs, this.client, this.upstream)) this.#arm(nowMs)
    else this.cut('idle_timeout')
  }

  onSideClosed(side: RelaySide, error: Error | null): void {
    if (this.#isFinished) return
    const other = side === this.client ? this.upstream : this.client
    if (other.wire === null) return this.#finish(null)
    if (error !== null || !side.hasEnded) this.cut(side === this.client ? 'client_closed' : 'upstream_reset')
  }

  /** Ends both sides at once. */
  cut(code: ErrorCode): void {
    if (this.#isFinished) return
    this.#finish(code)
    this.client.wire?.reset()
    this.upstream.wire?.reset()
  }

  #finish(code: ErrorCode | null): void {
    this.#isFinished = true
    this.#options.wheel.remove(this)
    this.#options.metrics.open.add(-1)
    this.#options.onEnd(this, code)
  }
}
