import { type ErrorCode, GatewayError } from '../base/error.ts'
import type { WireBuffer } from '../base/wire.ts'
import { HEADER_DATE, HEADER_X_REQUEST_ID } from '../codec/header-id.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { DownstreamEvents, UpstreamEvents } from '../exchange/contracts.ts'
import { Attempt, type Exchange } from '../exchange/exchange.ts'
import { Attempts } from './attempts.ts'
import { Finisher } from './finish.ts'
import { heldRequestReady, heldResponseReady } from './held.ts'
import { HttpDate } from './http-date.ts'
import {
  addForwardingFields,
  applyUnderscorePolicy,
  assignRequestId,
  readExpect,
  resolveClient,
  resolveTarget,
  stripRequestHopByHop,
  stripResponseHopByHop,
} from './prepare.ts'
import { createProblem, publicDetail, setLocalResponse } from './respond.ts'
import { NO_RETRY_LINE } from './retry.ts'
import type { CompiledRoute, ListenerRuntime, ProxyContext, ServiceRuntime } from './runtime.ts'

const REQUEST_ID_BIT = 1 << HEADER_X_REQUEST_ID
const DATE_BIT = 1 << HEADER_DATE
/** Held request body beyond which the client is paused. */
const HELD_BODY_BYTES = 64 * 1024
/** For asynchronous filters of a route that names no timeout and no single service. */
const FILTER_TIMEOUT_MS = 15_000

/**
 * The whole life of a request, in order. Both sides report here: the downstream connection what the client sends (`DownstreamEvents`),
 * the upstream connection what the endpoint answers (`UpstreamEvents`). Everything is synchronous unless a filter returns a promise.
 *
 *   onRequest -> match -> request filters -> pick -> send          -> finish, always, once
 *   onHead -> response filters -> head, body, trailers downstream  -> finish
 */
export class RequestHandler implements DownstreamEvents, UpstreamEvents {
  readonly #context: ProxyContext
  readonly #finisher: Finisher
  readonly #attempts: Attempts
  readonly #date: HttpDate

  constructor(context: ProxyContext) {
    this.#context = context
    this.#finisher = new Finisher(context)
    this.#attempts = new Attempts(context, this.#finisher, (x, code, detail) => this.#fail(x, code, detail))
    this.#date = new HttpDate(context.clock)
  }

  // ---- 1. a request head has been read ----

  onRequest(x: Exchange): void {
    const listener = x.listener as ListenerRuntime
    listener.metrics.requestsInFlight.add(1)
    const { snapshot } = this.#context
    x.snapshot = snapshot
    const { config, trusted } = listener
    const problem = resolveTarget(x)
    if (trusted !== null) resolveClient(x, trusted)
    if (config.headers.requestId) assignRequestId(x, this.#context.nextRequestId)
    if (problem !== null) return this.#fail(x, problem, 'the request target is not one this gateway serves')
    if (x.request.hasUnderscore && !applyUnderscorePolicy(x)) return this.#fail(x, 'bad_request', 'a field name holds an underscore')
    const expectation = readExpect(x)
    if (expectation !== null) return this.#fail(x, expectation, 'only 100-continue can be expected')

    const match = snapshot.routes.match(x)
    if (match === null) return this.#fail(x, 'route_not_found', 'no route matches this request')
    const { route } = match
    x.route = route
    x.params = match.params
    if (route.maxBodyBytes !== null) x.maxBodyBytes = route.maxBodyBytes
    if (x.request.contentLength > x.maxBodyBytes)
      return this.#fail(x, 'body_too_large', `a request body may have ${x.maxBodyBytes} bytes here`)

    stripRequestHopByHop(x)
    addForwardingFields(x)
    if (route.filters !== null) this.#runRequestFilters(x, route)
    else this.#route(x, route)
  }

  onBadRequest(x: Exchange, code: ErrorCode, detail: string): void {
    const listener = x.listener as ListenerRuntime
    listener.metrics.requestsInFlight.add(1)
    x.snapshot = this.#context.snapshot
    if (listener.config.headers.requestId) x.requestId = this.#context.nextRequestId()
    this.#fail(x, code, detail)
  }

  // ---- 2. request filters ----

  #runRequestFilters(x: Exchange, route: CompiledRoute): void {
    const filters = route.filters as NonNullable<CompiledRoute['filters']>
    while (x.filterIndex < filters.length) {
      const { onRequest } = filters[x.filterIndex++] as (typeof filters)[number]
      if (onRequest === null) continue
      let pending: void | Promise<void>
      try {
        pending = onRequest(x)
      } catch (error) {
        return this.#filterThrew(x, error, x.epoch)
      }
      if (pending !== undefined) {
        const { epoch } = x
        this.#armFilterTimeout(x, route)
        pending.then(
          () => this.#afterRequestFilter(x, route, epoch),
          (error: unknown) => this.#filterThrew(x, error, epoch),
        )
        return
      }
      if (x.local !== null) return this.#answer(x)
      if (x.rejection !== null) return this.#fail(x, x.rejection, x.rejectionDetail)
    }
    this.#route(x, route)
  }

  #afterRequestFilter(x: Exchange, route: CompiledRoute, epoch: number): void {
    if (x.finished || x.epoch !== epoch) return
    try {
      if (x.local !== null) this.#answer(x)
      else this.#runRequestFilters(x, route)
    } catch (error) {
      this.#defect(x, error)
    }
  }

  /** A filter that waits for something has the request timeout for it, unless one is running already. */
  #armFilterTimeout(x: Exchange, route: CompiledRoute): void {
    if (x.deadlineMs !== 0) return
    const requestMs = route.requestMs ?? route.single?.service.config.timeouts.requestMs ?? FILTER_TIMEOUT_MS
    if (requestMs === 0) return
    x.onTimeout = this.#onRequestTimeout
    this.#context.wheel.arm(x, this.#context.clock.now() + requestMs)
  }

  /** An error it names itself (a body too large, say) is the answer; anything else is a defect of the filter. */
  #filterThrew(x: Exchange, error: unknown, epoch: number): void {
    if (x.finished || x.epoch !== epoch) return
    if (error instanceof GatewayError) return this.#fail(x, error.code, error.message)
    this.#context.onDefect(error, `a filter of route ${x.route?.name ?? '-'}`)
    x.filterIndex = 0
    this.#fail(x, 'internal', 'a filter failed')
  }

  // ---- 3. pick and send ----

  #route(x: Exchange, route: CompiledRoute): void {
    if (route.answer !== null) {
      x.local = route.answer(x)
      return this.#answer(x)
    }
    const service = route.single ?? this.#chooseService(route)
    x.service = service
    x.onTimeout = this.#onRequestTimeout
    this.#armTimeout(x, service, x.startedMs)
    this.#attempts.begin(x, service)
  }

  /**
   * What the request timeout measures begins when the request is complete (a long upload is not a slow service) and ends with the
   * response head (a long download is not either). While a body moves, only standing still counts, and only where it is the endpoint
   * that stands still: for slow clients the listener has timeouts of its own.
   */
  #armTimeout(x: Exchange, runtime: ServiceRuntime, nowMs: number): void {
    const { timeouts } = runtime.service.config
    let limitMs = 0
    if (x.headSent) limitMs = x.responseBlocked ? 0 : timeouts.idleMs
    else if (x.requestComplete) limitMs = (x.route as CompiledRoute).requestMs ?? timeouts.requestMs
    else if (x.requestBlocked) limitMs = timeouts.idleMs
    if (limitMs > 0) this.#context.wheel.arm(x, nowMs + limitMs)
    else this.#context.wheel.disarm(x)
  }

  #chooseService(route: CompiledRoute): ServiceRuntime {
    const weighted = route.weighted as NonNullable<CompiledRoute['weighted']>
    const point = this.#context.random()
    for (let i = 0; i < weighted.length; i++) {
      const choice = weighted[i] as (typeof weighted)[number]
      if (point < choice.upTo) return choice.service
    }
    return (weighted[weighted.length - 1] as (typeof weighted)[number]).service
  }

  onReady(attempt: Attempt): void {
    const x = attempt.exchange
    if (!x.hasRequestBody) return
    if (x.expectsContinue && x.requestBytes === 0) x.downstream.sendContinue()
    // Once: this may be the second attempt.
    x.expectsContinue = false
    const { heldRequest } = x
    if (heldRequest !== null) {
      x.heldRequest = null
      x.heldRequestBytes = 0
      attempt.bodyStarted = true
      const connection = attempt.connection
      for (let i = 0; i < heldRequest.length && attempt.connection === connection && connection !== null; i++) {
        const piece = heldRequest[i] as Buffer
        if (x.replayLimit > 0) this.#attempts.remember(x, piece, 0, piece.length)
        connection.sendBody(piece, 0, piece.length, false)
      }
    }
    if (attempt.connection === null) return
    if (x.heldRequestEnd !== null) return attempt.connection.sendEnd(x.heldRequestEnd)
    // When the connection had to be opened first, nobody else sends off what was gathered until more of the body comes.
    if (!attempt.reused) attempt.connection.flush()
    x.downstream.resumeRequest()
  }

  // ---- the request body, as it comes ----

  onRequestBody(x: Exchange, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    x.requestBytes += end - start
    if (x.requestBytes > x.maxBodyBytes) {
      this.#failLate(x, 'body_too_large', `a request body may have ${x.maxBodyBytes} bytes here`)
      return true
    }
    // The response is complete or will be without the rest of this: nobody wants it.
    if (x.finished || x.local !== null) return true
    const { attempt } = x
    if (attempt !== null && attempt.connection !== null && attempt.sent && x.heldRequest === null) {
      attempt.bodyStarted = true
      if (x.replayLimit > 0) this.#attempts.remember(x, bytes, start, end)
      x.requestBlocked = !attempt.connection.sendBody(bytes, start, end, stable)
      if (x.requestBlocked || x.headSent) this.#armTimeout(x, x.service as ServiceRuntime, this.#context.clock.now())
      return !x.requestBlocked
    }
    if (x.heldRequest === null) x.heldRequest = []
    x.heldRequest.push(Buffer.from(bytes.subarray(start, end)))
    x.heldRequestBytes += end - start
    if (x.holdRequestLimit === 0) return x.heldRequestBytes < HELD_BODY_BYTES
    if (x.heldRequestBytes > x.holdRequestLimit) heldRequestReady(x)
    return true
  }

  onRequestEnd(x: Exchange, trailers: string): void {
    x.requestComplete = true
    if (x.service !== null && !x.headSent && x.local === null) this.#armTimeout(x, x.service as ServiceRuntime, this.#context.clock.now())
    // Kept in any case: a repeated attempt ends its request with it.
    x.heldRequestEnd = trailers
    const connection = x.attempt?.connection ?? null
    if (connection !== null && x.attempt?.sent === true && x.heldRequest === null) connection.sendEnd(trailers)
    heldRequestReady(x)
  }

  onRequestFlush(x: Exchange): void {
    x.attempt?.connection?.flush()
  }

  onRequestError(x: Exchange, code: ErrorCode, detail: string): void {
    this.#failLate(x, code, detail)
  }

  // ---- 4. the endpoint answers ----

  onInformational(attempt: Attempt, head: ResponseHead): void {
    const x = attempt.exchange
    stripResponseHopByHop(head.headers, head.connection)
    if (!x.headSent) x.downstream.sendInformational(head)
  }

  onHead(attempt: Attempt, head: ResponseHead): void {
    const x = attempt.exchange
    if (attempt.deadlineMs !== 0) this.#context.wheel.remove(attempt)
    attempt.status = head.status
    const { service, tracksLatency } = x.service as ServiceRuntime
    if (tracksLatency) attempt.headMs = this.#context.clock.now() - attempt.startedMs
    if (head.status >= 400 && this.#attempts.isStatusRepeated(x, attempt, head)) return
    stripResponseHopByHop(head.headers, head.connection)
    x.response = head
    this.#stampResponse(x)
    if (service.sticky !== null) {
      const cookie = service.sticky.setCookie(attempt.endpoint, x.stickyKey, x.scheme === 'https')
      if (cookie !== null) head.headers.add('Set-Cookie', cookie)
    }
    const { filters } = x.route as CompiledRoute
    if (filters === null) {
      this.#sendHead(x)
    } else {
      x.responseHeld = true
      this.#runResponseFilters(x, filters)
    }
  }

  /** What every response carries. Before the filters, so that they have the last word. */
  #stampResponse(x: Exchange): void {
    const { headers } = x.response as ResponseHead
    if (x.requestId !== '' && (headers.seen & REQUEST_ID_BIT) === 0) headers.addLines(`X-Request-Id: ${x.requestId}\r\n`, REQUEST_ID_BIT)
    if (x.isRetryForbidden) headers.addLines(NO_RETRY_LINE, 0)
    // RFC 9110 section 6.6.1: a recipient with a clock dates what came without.
    if ((headers.seen & DATE_BIT) === 0) headers.addLines(`Date: ${this.#date.text()}\r\n`, DATE_BIT)
  }

  #sendHead(x: Exchange): void {
    x.headSent = true
    x.downstream.sendHead(x)
  }

  // ---- 5. response filters, in reverse ----

  #runResponseFilters(x: Exchange, filters: NonNullable<CompiledRoute['filters']>): void {
    while (x.filterIndex > 0) {
      const { onResponse } = filters[--x.filterIndex] as (typeof filters)[number]
      if (onResponse === null) continue
      let pending: void | Promise<void>
      try {
        pending = onResponse(x)
      } catch (error) {
        return this.#filterThrew(x, error, x.epoch)
      }
      if (pending !== undefined) {
        const { epoch } = x
        this.#armFilterTimeout(x, x.route as CompiledRoute)
        pending.then(
          () => this.#afterResponseFilter(x, filters, epoch),
          (error: unknown) => this.#filterThrew(x, error, epoch),
        )
        return
      }
      if (x.local !== x.appliedLocal) this.#replaceResponse(x)
    }
    this.#releaseResponse(x)
  }

  #afterResponseFilter(x: Exchange, filters: NonNullable<CompiledRoute['filters']>, epoch: number): void {
    if (x.finished || x.epoch !== epoch) return
    try {
      if (x.local !== x.appliedLocal) this.#replaceResponse(x)
      this.#runResponseFilters(x, filters)
    } catch (error) {
      this.#defect(x, error)
    }
  }

  /** A response filter answered instead of the upstream: what the upstream still sends is of no interest. */
  #replaceResponse(x: Exchange): void {
    const local = x.local as NonNullable<Exchange['local']>
    this.#finisher.cancelAttempt(x, 'success', null)
    x.heldResponse = local.body === null ? null : [local.body]
    x.heldResponseEnd = ''
    setLocalResponse(x, local)
    this.#stampResponse(x)
  }

  /** The filters are done: the head goes out, then what was held back, then the rest as it comes. */
  #releaseResponse(x: Exchange): void {
    x.responseHeld = false
    this.#sendHead(x)
    const { heldResponse } = x
    if (heldResponse !== null) {
      x.heldResponse = null
      for (let i = 0; i < heldResponse.length; i++) {
        const piece = heldResponse[i] as Buffer
        x.responseBytes += piece.length
        x.downstream.sendBody(piece, 0, piece.length, false)
      }
    }
    if (x.heldResponseEnd !== null) return this.#end(x, x.heldResponseEnd)
    x.downstream.flush()
    this.#continueResponse(x)
  }

  /** The head is out and the client takes more: it is the endpoint's turn, and its time begins anew. */
  #continueResponse(x: Exchange): void {
    const connection = x.attempt?.connection ?? null
    if (connection === null) return
    this.#armTimeout(x, x.service as ServiceRuntime, this.#context.clock.now())
    connection.resumeResponse()
  }

  onBody(attempt: Attempt, bytes: WireBuffer, start: number, end: number, stable: boolean): boolean {
    const x = attempt.exchange
    if (x.responseHeld) {
      if (x.heldResponse === null) x.heldResponse = []
      x.heldResponse.push(Buffer.from(bytes.subarray(start, end)))
      x.heldResponseBytes += end - start
      if (x.holdResponseLimit === 0) return false
      if (x.heldResponseBytes > x.holdResponseLimit) heldResponseReady(x)
      return true
    }
    x.responseBytes += end - start
    x.responseBlocked = !x.downstream.sendBody(bytes, start, end, stable)
    return !x.responseBlocked
  }

  onFlush(attempt: Attempt): void {
    const x = attempt.exchange
    if (x.responseHeld) return
    x.downstream.flush()
    // Only a response that takes more than one read comes here: from now on it must keep moving.
    if (x.headSent) this.#armTimeout(x, x.service as ServiceRuntime, this.#context.clock.now())
  }

  onEnd(attempt: Attempt, trailers: string): void {
    const x = attempt.exchange
    this.#finisher.endAttempt(attempt, 'success', null)
    if (x.responseHeld) {
      x.heldResponseEnd = trailers
      heldResponseReady(x)
    } else {
      this.#end(x, trailers)
    }
  }

  // ---- 6. the response is complete ----

  #end(x: Exchange, trailers: string): void {
    x.responseComplete = true
    x.downstream.sendEnd(trailers)
    this.#finisher.finish(x)
  }

  /** A response made here: of the route, a filter, or an error of ours. Response filters that were entered see it too. */
  #answer(x: Exchange): void {
    const local = x.local as NonNullable<Exchange['local']>
    this.#finisher.cancelAttempt(x, 'neutral', null)
    setLocalResponse(x, local)
    this.#stampResponse(x)
    x.epoch++
    x.responseHeld = true
    x.heldRequest = null
    x.heldResponse = local.body === null ? null : [local.body]
    x.heldResponseEnd = ''
    const filters = x.route?.filters ?? null
    if (filters !== null && x.filterIndex > 0) this.#runResponseFilters(x, filters)
    else this.#releaseResponse(x)
  }

  // ---- what can go wrong ----

  onFailure(attempt: Attempt, code: ErrorCode, detail: string): void {
    const x = attempt.exchange
    const isLocal = code === 'pool_overflow'
    const wasStale = attempt.reused && !attempt.headReceived && code === 'upstream_reset'
    // A kept-alive connection that dies under a request says that the endpoint was tired of waiting, not that it is ill.
    this.#finisher.endAttempt(attempt, isLocal || wasStale ? 'neutral' : 'failure', code)
    if (x.headSent) return this.#breakOff(x, code)
    if (this.#attempts.isTriedAgain(x, attempt, code, wasStale)) return
    this.#fail(x, code, `service ${x.service?.service.name ?? '-'}: ${publicDetail(code, detail)}`)
  }

  readonly #onRequestTimeout = (x: Exchange): void => {
    if (x.finished) return
    this.#finisher.cancelAttempt(x, 'failure', 'upstream_timeout')
    if (x.headSent) this.#breakOff(x, 'upstream_timeout')
    else this.#fail(x, 'upstream_timeout', 'the service did not answer in time')
  }

  /** The client has gone away. */
  onClosed(x: Exchange): void {
    if (x.finished) return
    x.errorCode = 'client_closed'
    this.#finisher.cancelAttempt(x, 'neutral', 'client_closed')
    this.#finisher.finish(x)
  }

  onDrain(subject: Exchange | Attempt): void {
    if (subject instanceof Attempt) {
      const x = subject.exchange
      x.requestBlocked = false
      if (!x.headSent && !x.requestComplete) this.#context.wheel.disarm(x)
      x.downstream.resumeRequest()
    } else if (!subject.responseHeld) {
      subject.responseBlocked = false
      this.#continueResponse(subject)
    }
  }

  /** An error answer, when there is still somebody to answer. */
  #fail(x: Exchange, code: ErrorCode, detail: string): void {
    if (x.finished) return
    x.errorCode = code
    x.local = createProblem(x, code, detail)
    this.#answer(x)
  }

  /** The request proved bad after its head was accepted. */
  #failLate(x: Exchange, code: ErrorCode, detail: string): void {
    if (x.finished || x.local !== null) return
    this.#finisher.cancelAttempt(x, 'neutral', code)
    if (x.headSent) this.#breakOff(x, code)
    else this.#fail(x, code, detail)
  }

  /** Part of the response is out: the only honest end is a broken connection. */
  #breakOff(x: Exchange, code: ErrorCode): void {
    x.errorCode = code
    x.downstream.abort()
    this.#finisher.finish(x)
  }

  #defect(x: Exchange, error: unknown): void {
    this.#context.onDefect(error, 'the request path')
    if (x.headSent) this.#breakOff(x, 'internal')
    else this.#fail(x, 'internal', 'the gateway failed')
  }
}
