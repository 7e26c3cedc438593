import { HEADER_X_SLUICE_TIMEOUT } from '../codec/header-id.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { readGrpcDeadline } from './grpc-time.ts'
import type { CompiledRoute, ProxyContext, ServiceRuntime } from './runtime.ts'

/**
 * How long a request may take, and how that is handed on. The time that is left travels as `X-Sluice-Timeout: <milliseconds>`: of a gateway
 * before us it shortens ours, and the endpoint is told what remains. Milliseconds and not a moment, so that clocks need not agree.
 */
export const TIMEOUT_HEADER = 'X-Sluice-Timeout'
const TIMEOUT_BIT = 1 << HEADER_X_SLUICE_TIMEOUT
/** For asynchronous filters of a route that names no timeout and no single service. */
const FILTER_TIMEOUT_MS = 15_000
/** 1 ms to 28 hours. */
const MILLISECONDS = /^[0-9]{1,8}$/

export class TimeLimits {
  readonly #context: ProxyContext
  readonly #onTimeout: (x: Exchange) => void

  constructor(context: ProxyContext, onTimeout: (x: Exchange) => void) {
    this.#context = context
    this.#onTimeout = onTimeout
  }

  /** The service is known: its time begins. */
  begin(x: Exchange, runtime: ServiceRuntime, nowMs: number): void {
    x.onTimeout = this.#onTimeout
    const { headers } = x.request
    if ((headers.seen & TIMEOUT_BIT) !== 0) readCallersLimit(x)
    if (x.grpc !== null) readGrpcDeadline(x)
    this.arm(x, runtime, nowMs)
  }

  /**
   * What the request timeout measures begins when the request is complete (a long upload is not a slow service) and ends with the
   * response head (a long download is not either). While a body moves, only standing still counts, and only where it is the endpoint
   * that stands still: for slow clients the listener has timeouts of its own.
   */
  arm(x: Exchange, runtime: ServiceRuntime, nowMs: number): void {
    const { timeouts } = runtime.service.config
    let limitMs = 0
    if (x.headSent) limitMs = x.responseBlocked ? 0 : (x.tunnel?.idleMs ?? timeouts.idleMs)
    else if (x.requestComplete) limitMs = (x.route as CompiledRoute).requestMs ?? timeouts.requestMs
    else if (x.requestBlocked) limitMs = timeouts.idleMs
    let untilMs = limitMs > 0 ? nowMs + limitMs : 0
    if (x.callersDeadlineMs !== 0 && (!x.headSent || x.isDeadlineTotal) && (untilMs === 0 || x.callersDeadlineMs < untilMs)) {
      untilMs = x.callersDeadlineMs
    }
    if (untilMs > 0) this.#context.wheel.arm(x, untilMs)
    else this.#context.wheel.disarm(x)
  }

  /** From now on, as far as the request has come. */
  rearm(x: Exchange): void {
    this.arm(x, x.service as ServiceRuntime, this.#context.clock.now())
  }

  /** A filter that waits for something has the request timeout for it, unless one is running already. */
  armForFilter(x: Exchange, route: CompiledRoute): void {
    if (x.deadlineMs !== 0) return
    const requestMs = route.requestMs ?? route.single?.service.config.timeouts.requestMs ?? FILTER_TIMEOUT_MS
    if (requestMs === 0) return
    x.onTimeout = this.#onTimeout
    this.#context.wheel.arm(x, this.#context.clock.now() + requestMs)
  }
}

/** A number that is none is not believed and not passed on. */
function readCallersLimit(x: Exchange): void {
  const { headers } = x.request
  const text = headers.getById(HEADER_X_SLUICE_TIMEOUT)
  headers.removeById(HEADER_X_SLUICE_TIMEOUT)
  if (text !== undefined && MILLISECONDS.test(text)) x.callersDeadlineMs = x.startedMs + Number(text)
}

/** Writes what is left for an attempt into its request. The line of a first attempt is nearly always the same one. */
export class TimeAnnouncer {
  #leftMs = -1
  #line = ''

  /** `perTryMs`: of this attempt, null for none. */
  announce(x: Exchange, perTryMs: number | null, nowMs: number): void {
    let leftMs =
      x.deadlineMs === 0 || (!x.requestComplete && x.callersDeadlineMs === 0) ? -1 : Math.max(1, Math.floor(x.deadlineMs - nowMs))
    if (perTryMs !== null && (leftMs < 0 || perTryMs < leftMs)) leftMs = perTryMs
    const { headers } = x.request
    if (x.attempts > 1) headers.removeById(HEADER_X_SLUICE_TIMEOUT)
    if (leftMs < 0) return
    if (leftMs !== this.#leftMs) {
      this.#leftMs = leftMs
      this.#line = `${TIMEOUT_HEADER}: ${leftMs}\r\n`
    }
    headers.addLines(this.#line, TIMEOUT_BIT)
  }
}
