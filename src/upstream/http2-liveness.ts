/** A PING must be answered within this time, or the time after which it is sent, if that is shorter. */
const PONG_MS = 10_000
/** While nothing but PINGs moves, they come no more often: gRPC servers end connections that ask every few seconds. */
const QUIET_PING_MS = 310_000

/** When an endpoint is to be asked for a sign of life, and when it is given up. Times are those of one monotonic clock. */
export class Liveness {
  /** The last byte of the endpoint. */
  heardMs: number
  /** A stream was opened, or something came of one: the endpoint has something to do. */
  isBusy = true
  readonly #pingMs: number
  readonly #pongMs: number
  #pingedMs = Number.NEGATIVE_INFINITY
  #isPongMissing = false

  /** `pingMs`: silence after which to ask; 0: never. */
  constructor(pingMs: number, nowMs: number) {
    this.#pingMs = pingMs
    this.#pongMs = Math.min(pingMs, PONG_MS)
    this.heardMs = nowMs
  }

  heard(nowMs: number): void {
    this.heardMs = nowMs
    this.#isPongMissing = false
  }

  /** When to look again. Often enough to notice that the endpoint has something to do again. */
  dueMs(nowMs: number): number {
    if (this.#pingMs === 0) return Number.POSITIVE_INFINITY
    return this.#isPongMissing ? this.#pingedMs + this.#pongMs : Math.min(this.#pingDueMs, nowMs + this.#pingMs)
  }

  get #pingDueMs(): number {
    const dueMs = this.heardMs + this.#pingMs
    return this.isBusy ? dueMs : Math.max(dueMs, this.#pingedMs + QUIET_PING_MS)
  }

  isDead(nowMs: number): boolean {
    return this.#isPongMissing && nowMs >= this.#pingedMs + this.#pongMs
  }

  isPingDue(nowMs: number): boolean {
    return this.#pingMs > 0 && !this.#isPongMissing && nowMs >= this.#pingDueMs
  }

  /** A request that began at `sentMs` was given up: whether its endpoint is to be asked at once. */
  isSuspect(sentMs: number, nowMs: number): boolean {
    return this.#pingMs > 0 && this.heardMs < sentMs && !this.#isPongMissing && nowMs >= this.#pingedMs + this.#pingMs
  }

  pinged(nowMs: number): void {
    this.#pingedMs = nowMs
    this.#isPongMissing = true
    this.isBusy = false
  }
}
