import type { ErrorCode } from '../base/error.ts'
import type { Exchange, HeldPlace } from '../exchange/exchange.ts'
import type { ShedReason, Waiter } from '../limit/wait-queue.ts'
import type { LimitParts, LimitRuntime } from './limits.ts'
import type { CompiledRoute, ProxyContext, ServiceRuntime } from './runtime.ts'

/** `granted`: it has the place, and has not gone on with it yet. */
type State = 'waiting' | 'granted' | 'held' | 'over'

/** What goes wrong under a limit, as the client sees it. */
function codeOf(reason: ShedReason | 'adaptive'): ErrorCode {
  return reason === 'wait-too-long' ? 'queue_timeout' : 'concurrency_limit'
}

function detailOf(reason: ShedReason | 'adaptive', limit: LimitRuntime): string {
  const whose = `the ${limit.scope} ${limit.name}`
  switch (reason) {
    case 'wait-too-long':
      return `no place became free for this request; ${whose} is busy`
    case 'displaced':
      return `a more important request took the place of this one in the queue; ${whose} is busy`
    case 'queue-full':
      return `${whose} is busy, and no more requests may wait`
    case 'adaptive':
      return `${whose} takes no more requests while the gateway is busy`
  }
}

/**
 * The place of an exchange under one limit: waited for, held, then given back. A reload may change the limit meanwhile; the parts it
 * was taken from are kept here.
 */
class Place implements Waiter, HeldPlace {
  readonly x: Exchange
  readonly service: ServiceRuntime
  readonly limit: LimitRuntime
  readonly parts: LimitParts
  readonly older: Place | null
  state: State = 'waiting'
  shedReason: ShedReason | null = null
  nextSettled: Place | null = null
  readonly #admission: Admission

  // As the queue wants it.
  priority: number
  waitUntilMs = 0
  nextWaiter: Waiter | null = null
  previousWaiter: Waiter | null = null
  isWaiting = false

  constructor(admission: Admission, x: Exchange, service: ServiceRuntime, limit: LimitRuntime) {
    this.#admission = admission
    this.x = x
    this.service = service
    this.limit = limit
    this.parts = limit.parts
    this.older = x.places as Place | null
    this.priority = (x.route as CompiledRoute).importance
  }

  onAdmitted(): void {
    this.state = 'granted'
    this.#admission.settle(this)
  }

  onShed(reason: ShedReason): void {
    this.state = 'over'
    this.shedReason = reason
    this.#admission.settle(this)
  }

  /** The exchange is over, or goes on without this limit. */
  leave(nowMs: number): void {
    this.leaveAlone(nowMs)
    this.older?.leave(nowMs)
  }

  /** The same without those that were taken before it. */
  leaveAlone(nowMs: number): void {
    const { state, limit, parts } = this
    this.state = 'over'
    if (state === 'waiting') {
      limit.limit.cancel(this)
      limit.shed.add(this.x.errorCode === 'client_closed' ? 'client-left' : 'request-timeout', this.priority)
      parts.bbr?.leave(-1, nowMs)
    } else if (state !== 'over') {
      const { gradient, bbr } = parts
      const latencyMs = latencyOf(this.x)
      if (bbr !== null) bbr.leave(latencyMs, nowMs)
      if (gradient !== null) {
        const sampleMs = latencyMs >= 0 || gradient.isMeasuring ? latencyMs : timeoutOf(this.x, nowMs)
        if (sampleMs >= 0 && gradient.record(sampleMs, nowMs)) limit.limit.setLimit(gradient.limit)
      }
      limit.limit.leave()
    }
  }
}

/** Time to the response head of an attempt that went well; -1: it says nothing about what the service can do. */
function latencyOf({ attempt, errorCode }: Exchange): number {
  if (attempt === null || errorCode !== null || attempt.status === 0 || attempt.status >= 500) return -1
  return attempt.headMs
}

/**
 * A timeout says that latency is at least that. Without it a service that drowns would be judged by the few requests that still get through.
 * It does not belong into the measurement of the latency without load.
 */
function timeoutOf({ attempt, errorCode }: Exchange, nowMs: number): number {
  return attempt !== null && errorCode === 'upstream_timeout' ? nowMs - attempt.startedMs : -1
}

/**
 * Lets exchanges pass under the limits of their route and service, once each: before the first attempt, whatever retries follow. Who gets
 * no place waits in the queue of the limit, without a promise, while the request timeout goes on and the client is paused as when it
 * waits for a connection. The places are given back in Finisher.finish.
 */
export class Admission {
  readonly #context: ProxyContext
  readonly #begin: (x: Exchange, runtime: ServiceRuntime) => void
  readonly #fail: (x: Exchange, code: ErrorCode, detail: string) => void
  /** Those whose wait has ended, in order. They go on from here and not from where that happened: that may be the end of another exchange. */
  #firstSettled: Place | null = null
  #lastSettled: Place | null = null

  constructor(
    context: ProxyContext,
    begin: (x: Exchange, runtime: ServiceRuntime) => void,
    fail: (x: Exchange, code: ErrorCode, detail: string) => void,
  ) {
    this.#context = context
    this.#begin = begin
    this.#fail = fail
  }

  /** The service of the exchange is known. It goes on when it has every place it needs: at once, later, or to an error. */
  enter(x: Exchange, runtime: ServiceRuntime): void {
    const route = x.route as CompiledRoute
    const nowMs = this.#context.clock.now()
    const { limit } = route
    if (limit !== null && x.places === null && x.fallbackCause === null && !this.#admit(x, runtime, limit, nowMs)) return
    if (runtime.limit !== null && !this.#admit(x, runtime, runtime.limit, nowMs)) return
    this.#begin(x, runtime)
  }

  /**
   * The exchange goes on to another service, because of this error or of a status: what the first one gave is given back, and its limit
   * learns how it went.
   */
  leaveService(x: Exchange, code: ErrorCode | null): void {
    if (x.places === null) return
    x.errorCode = code
    x.places = dropForeign(x.places as Place, (x.route as CompiledRoute).limit, this.#context.clock.now())
    x.errorCode = null
  }

  /** False: it waits, or was refused. */
  #admit(x: Exchange, runtime: ServiceRuntime, limit: LimitRuntime, nowMs: number): boolean {
    // Taken away by a reload, while this exchange goes by the configuration it began with.
    if (limit.isClosed) return true
    const place = new Place(this, x, runtime, limit)
    const { bbr } = place.parts
    if (bbr !== null && !bbr.tryEnter(place.priority, nowMs)) {
      this.#refuse(place, 'adaptive')
      return false
    }
    switch (limit.enter(place, nowMs)) {
      case 'admitted':
        place.state = 'held'
        x.places = place
        return true
      case 'queued':
        x.places = place
        return false
      case 'shed':
        bbr?.leave(-1, nowMs)
        this.#refuse(place, 'queue-full')
        return false
    }
  }

  #refuse({ x, limit, priority }: Place, reason: ShedReason | 'adaptive'): void {
    limit.shed.add(reason, priority)
    // Asking again at once, here or at another gateway, would only add to the load of the service.
    x.isRetryForbidden = true
    this.#fail(x, codeOf(reason), detailOf(reason, limit))
  }

  settle(place: Place): void {
    const last = this.#lastSettled
    this.#lastSettled = place
    if (last !== null) {
      last.nextSettled = place
      return
    }
    this.#firstSettled = place
    process.nextTick(this.#goOn)
  }

  readonly #goOn = (): void => {
    let place = this.#firstSettled
    this.#firstSettled = null
    this.#lastSettled = null
    while (place !== null) {
      const next: Place | null = place.nextSettled
      place.nextSettled = null
      try {
        this.#goOnWith(place)
      } catch (error) {
        this.#context.onDefect(error, 'the request path')
        this.#fail(place.x, 'internal', 'the gateway failed')
      }
      place = next
    }
  }

  #goOnWith(place: Place): void {
    const { x, service, limit, shedReason } = place
    const nowMs = this.#context.clock.now()
    if (shedReason !== null) {
      place.parts.bbr?.leave(-1, nowMs)
      // It may have ended in between, or gone on to a fallback, by its timeout.
      if (x.finished || x.local !== null || x.places !== place) limit.shed.add(shedReason, place.priority)
      else this.#refuse(place, shedReason)
      return
    }
    if (x.finished || x.local !== null || place.state !== 'granted') return
    place.state = 'held'
    x.nowMs = nowMs
    const { route } = x
    const isRouteDone = limit === (route as CompiledRoute).limit
    if (isRouteDone && service.limit !== null && !this.#admit(x, service, service.limit, nowMs)) return
    this.#begin(x, service)
  }
}

/** Gives back every place but the one of the route; what is left. There are at most two: of the service, and before it of the route. */
function dropForeign(newest: Place, ofRoute: LimitRuntime | null, nowMs: number): Place | null {
  const oldest = newest.older ?? newest
  const kept = oldest.limit === ofRoute && (oldest.state === 'granted' || oldest.state === 'held') ? oldest : null
  if (kept !== null) kept.state = 'held'
  if (newest !== kept) newest.leaveAlone(nowMs)
  if (oldest !== newest && oldest !== kept) oldest.leaveAlone(nowMs)
  return kept
}
