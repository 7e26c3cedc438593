import { ERROR_KINDS, type ErrorCode } from '../base/error.ts'
import type { WireBuffer } from '../base/wire.ts'
import { HEADER_UPGRADE } from '../codec/header-id.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { DownstreamEvents, UpstreamEvents } from '../exchange/contracts.ts'
import { Attempt, type Exchange } from '../exchange/exchange.ts'
import { changeBody, endBody, sendLastBody } from '../exchange/transform.ts'
import { Attempts } from './attempts.ts'
import { type FallbackRuntime, fallbackForError, fallbackForStatus, isPossible, takeBackRejection } from './fallback.ts'
import { FilterRun } from './filter-run.ts'
import { Finisher } from './finish.ts'
import { CONTENT_TYPE_BIT, createError, endBrokenCall, isClientsDeadline, localOf, readGrpcHead, recognizeGrpc } from './grpc.ts'
import { GrpcFlow } from './grpc-flow.ts'
import { heldRequestReady, heldResponseReady, sendHeldResponse } from './held.ts'
import { HttpDate } from './http-date.ts'
import { forwardSubject } from './listener-entry.ts'
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
import { publicDetail, setLocalResponse, stampResponse } from './respond.ts'
import type { CompiledRoute, ListenerRuntime, ProxyContext, ServiceRuntime } from './runtime.ts'
import { TimeLimits } from './time-limits.ts'
import { changeProtocol, createTunnel, readUpgrade, sendHeld, type UpgradeTunnel } from './websocket.ts'
import { chooseService } from './weighted.ts'

const UPGRADE_BIT = 1 << HEADER_UPGRADE
/** Held request body beyond which the client is paused. */
const HELD_BODY_BYTES = 64 * 1024

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
  readonly #limits: TimeLimits
  readonly #filters: FilterRun
  readonly #grpc: GrpcFlow
  readonly #date: HttpDate

  constructor(context: ProxyContext) {
    this.#context = context
    this.#finisher = new Finisher(context)
    this.#attempts = new Attempts(context, this.#finisher, (x, code, detail) => this.#fail(x, code, detail))
    this.#filters = new FilterRun({
      answer: (x) => this.#answer(x),
      fail: (x, code, detail) => this.#fail(x, code, detail),
      route: (x, route) => this.#route(x, route),
      replaceResponse: (x) => this.#replaceResponse(x),
      releaseResponse: (x) => this.#releaseResponse(x),
      armForFilter: (x, route) => this.#limits.armForFilter(x, route),
      onFilterDefect: (error, route) => context.onDefect(error, `a filter of route ${route}`),
      defect: (x, error) => this.#defect(x, error),
    })
    this.#grpc = new GrpcFlow(context, this.#attempts, this.#finisher, {
      takeHead: (attempt, head) => this.#takeHead(attempt, head),
      onFlush: (attempt) => this.onFlush(attempt),
      answer: (x) => this.#answer(x),
      isReplaced: (x, attempt) => this.#isReplaced(x, attempt),
      end: (x, trailers) => this.#endWith(x, trailers),
    })
    this.#limits = new TimeLimits(context, (x) => this.#onRequestTimeout(x))
    this.#date = new HttpDate(context.clock)
  }

  // ---- 1. a request head has been read ----

  onRequest(x: Exchange): void {
    const listener = x.listener as ListenerRuntime
    listener.metrics.requestsInFlight.add(1)
    const { snapshot } = this.#context
    x.snapshot = snapshot
    const { config, trusted } = listener
    if ((x.request.headers.seen & CONTENT_TYPE_BIT) !== 0) recognizeGrpc(x)
    const problem = resolveTarget(x)
    if (trusted !== null) resolveClient(x, trusted)
    if (config.headers.requestId) assignRequestId(x, this.#context.nextRequestId)
    if (problem !== null) return this.#fail(x, problem, 'the request target is not one this gateway serves')
    if (x.client.secure?.misdirects(x.host) === true) return this.#fail(x, 'misdirected_request', 'this host has another certificate')
    if (x.request.hasUnderscore && !applyUnderscorePolicy(x)) return this.#fail(x, 'bad_request', 'a field name holds an underscore')
    if (listener.toHttps !== null && x.scheme === 'http') {
      x.local = listener.toHttps(x)
      if (x.local !== null) return this.#answer(x)
    }
    const expectation = readExpect(x)
    if (expectation !== null) return this.#fail(x, expectation, 'only 100-continue can be expected')

    const match = snapshot.routes.match(x)
    if (match === null) return this.#fail(x, 'route_not_found', 'no route matches this request')
    const { route } = match
    x.route = route
    x.params = match.params
    if (snapshot.shedder?.refuses(route.importance) === true) return this.#fail(x, 'load_shed', 'the gateway is overloaded')
    if (route.maxBodyBytes !== null) x.maxBodyBytes = route.maxBodyBytes
    if (x.request.contentLength > x.maxBodyBytes)
      return this.#fail(x, 'body_too_large', `a request body may have ${x.maxBodyBytes} bytes here`)

    if ((x.request.headers.seen & UPGRADE_BIT) !== 0 || route.isUpgradeOnly || x.request.protocol !== '') {
      const refusal = readUpgrade(x, route, this.#context.random)
      if (refusal !== null) return this.#fail(x, refusal, ERROR_KINDS[refusal].doc)
    }
    stripRequestHopByHop(x)
    addForwardingFields(x)
    if (listener.subjectHeaders !== null) forwardSubject(x, listener.subjectHeaders, listener.tls)
    if (route.filters !== null) this.#filters.request(x, route)
    else this.#route(x, route)
  }

  onBadRequest(x: Exchange, code: ErrorCode, detail: string): void {
    const listener = x.listener as ListenerRuntime
    listener.metrics.requestsInFlight.add(1)
    x.snapshot = this.#context.snapshot
    // Of a head over HTTP/2 that is only too large, the beginning has been read.
    if (x.request.major === 2) recognizeGrpc(x)
    if (listener.config.headers.requestId) x.requestId = this.#context.nextRequestId()
    this.#fail(x, code, detail)
  }

  // ---- 2. request filters (filter-run.ts), then 3. pick and send ----

  #route(x: Exchange, route: CompiledRoute): void {
    if (route.answer !== null) {
      x.local = route.answer(x)
      return this.#answer(x)
    }
    // It is known when a fallback was decided on before the last filter.
    const service = (x.service as ServiceRuntime | null) ?? route.single ?? chooseService(route, this.#context.random)
    x.service = service
    this.#limits.begin(x, service, x.startedMs)
    this.#attempts.begin(x, service)
  }

  onReady(attempt: Attempt): void {
    const x = attempt.exchange
    if (!x.hasRequestBody) return
    if (x.expectsContinue && x.requestBytes === 0) x.downstream.sendContinue()
    // Once: this may be the second attempt.
    x.expectsContinue = false
    // The first attempt has the body already, be it still there or gone.
    if (attempt === x.backup || (x.replay !== null && !attempt.bodyStarted)) return this.#attempts.hedging.sendBody(x, attempt)
    if (x.heldRequest !== null) this.#attempts.sendHeld(attempt, x.heldRequest)
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
    const { requestTransform } = x
    if (requestTransform === null) return this.#takeBody(x, bytes, start, end, stable)
    const changed = changeBody(x, requestTransform, bytes, start, end, this.#failLate)
    return changed.length === 0 || this.#takeBody(x, changed, 0, changed.length, true)
  }

  #takeBody(x: Exchange, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    x.grpc?.requests.read(bytes, start, end)
    const { attempt } = x
    if (x.tunnel !== null && !x.tunnel.onRequest(bytes, start, end)) return true
    const isOpen = x.upgrade === '' || x.tunnel !== null
    if (isOpen && attempt !== null && attempt.connection !== null && attempt.sent && x.heldRequest === null) {
      attempt.bodyStarted = true
      if (x.replayLimit > 0) this.#attempts.remember(x, bytes, start, end)
      x.requestBlocked = !attempt.connection.sendBody(bytes, start, end, stable)
      if (x.requestBlocked || x.headSent) this.#limits.rearm(x)
      return !x.requestBlocked
    }
    if (x.heldRequest === null) x.heldRequest = []
    x.heldRequest.push(Buffer.from(bytes.subarray(start, end)))
    x.heldRequestBytes += end - start
    if (x.holdRequestLimit === 0) return x.heldRequestBytes < HELD_BODY_BYTES
    if (x.heldRequestBytes > x.holdRequestLimit) heldRequestReady(x)
    return true
  }

  onRequestEnd(x: Exchange, given: string): void {
    x.requestComplete = true
    let trailers = given
    if (x.requestTransform !== null && x.local === null && !x.finished) {
      const last = endBody(x, x.requestTransform, given, this.#failLate)
      if (last.length > 0) this.#takeBody(x, last, 0, last.length, true)
      trailers = x.requestTransform.trailers
    }
    if (x.service !== null && !x.headSent && x.local === null) this.#limits.rearm(x)
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
    // Who listens to a stream may have nothing to say; the idle timeout of the service looks at both directions.
    if (x.grpc !== null && x.headSent && code === 'request_timeout' && x.request.major === 2) return
    this.#failLate(x, code, detail)
  }

  // ---- 4. the endpoint answers ----

  onInformational(attempt: Attempt, head: ResponseHead): void {
    const x = attempt.exchange
    stripResponseHopByHop(head.headers, head.connection)
    if (!x.headSent && attempt !== x.backup) x.downstream.sendInformational(head)
  }

  onHead(attempt: Attempt, head: ResponseHead): void {
    const x = attempt.exchange
    if (attempt.deadlineMs !== 0) this.#context.wheel.remove(attempt)
    attempt.status = head.status
    const runtime = x.service as ServiceRuntime
    if (runtime.tracksLatency || x.places !== null) attempt.headMs = this.#context.clock.now() - attempt.startedMs
    if (x.backup !== null && !this.#attempts.hedging.isWinner(x, attempt, head, runtime)) return
    if (runtime.hedge !== null && head.status < 500) this.#attempts.hedging.record(attempt, runtime.hedge)
    const isForeign = x.grpc !== null && !readGrpcHead(attempt, head)
    if ((head.status >= 400 || attempt.grpcStatus > 0) && this.#attempts.isStatusRepeated(x, attempt, head, '')) return
    if ((head.status >= 500 || attempt.grpcStatus > 0) && this.#isReplaced(x, attempt)) return
    if (x.grpc !== null && this.#grpc.keepsHead(x, attempt, head, isForeign)) return
    this.#takeHead(attempt, head)
  }

  /** The head is what the client gets. */
  #takeHead(attempt: Attempt, head: ResponseHead): void {
    const x = attempt.exchange
    const { service } = x.service as ServiceRuntime
    stripResponseHopByHop(head.headers, head.connection)
    if (x.upgrade !== '' && !changeProtocol(x, head.status, () => this.#createTunnel(x))) {
      this.#finisher.cancel(attempt, 'neutral', 'upstream_protocol')
      return this.#fail(x, 'upstream_protocol', 'the endpoint speaks HTTP only')
    }
    x.response = head
    stampResponse(x, this.#date)
    if (service.sticky !== null) {
      const cookie = service.sticky.setCookie(attempt.endpoint, x.stickyKey, x.scheme === 'https')
      if (cookie !== null) head.headers.add('Set-Cookie', cookie)
    }
    const { filters } = x.route as CompiledRoute
    if (filters === null) {
      this.#sendHead(x)
    } else {
      x.responseHeld = true
      this.#filters.response(x, x.route as CompiledRoute)
    }
  }

  #sendHead(x: Exchange): void {
    x.headSent = true
    x.downstream.sendHead(x)
    if (x.tunnel !== null) sendHeld(x)
  }

  #createTunnel(x: Exchange): UpgradeTunnel {
    this.#finisher.settle(x.attempt as Attempt)
    return createTunnel(x, this.#context, (ended) => this.#endTunnel(ended))
  }

  /** From our side: the endpoint is not asked. */
  #endTunnel(x: Exchange): void {
    if (x.finished) return
    this.#finisher.cancelAttempt(x, 'success', null)
    this.#end(x, '')
  }

  // ---- 5. response filters, in reverse (filter-run.ts) ----

  /** A response filter answered instead of the upstream: what the upstream still sends is of no interest. */
  #replaceResponse(x: Exchange): void {
    const local = localOf(x)
    this.#finisher.cancelAttempt(x, 'success', null)
    x.heldResponse = local.body === null ? null : [local.body]
    x.heldResponseEnd = ''
    setLocalResponse(x, local)
    stampResponse(x, this.#date)
  }

  /** The filters are done: the head goes out, then what was held back, then the rest as it comes. */
  #releaseResponse(x: Exchange): void {
    x.responseHeld = false
    this.#sendHead(x)
    if (x.heldResponse !== null) sendHeldResponse(x, x.heldResponse)
    if (x.heldResponseEnd !== null) return this.#end(x, x.heldResponseEnd)
    x.downstream.flush()
    this.#continueResponse(x)
  }

  /** The head is out and the client takes more: it is the endpoint's turn, and its time begins anew. */
  #continueResponse(x: Exchange): void {
    const connection = x.attempt?.connection ?? null
    if (connection === null) return
    this.#limits.rearm(x)
    connection.resumeResponse()
  }

  onBody(attempt: Attempt, bytes: WireBuffer, start: number, end: number, stable: boolean): boolean {
    const x = attempt.exchange
    if (x.grpc !== null && !this.#grpc.takesBody(attempt, x.grpc, bytes, start, end)) return true
    const { responseTransform } = x
    if (responseTransform === null) return this.#sendBody(x, bytes, start, end, stable)
    const changed = changeBody(x, responseTransform, bytes, start, end, this.#failLate)
    return x.finished || changed.length === 0 || this.#sendBody(x, changed as WireBuffer, 0, changed.length, true)
  }

  #sendBody(x: Exchange, bytes: WireBuffer, start: number, end: number, stable: boolean): boolean {
    if (x.responseHeld) {
      if (x.heldResponse === null) x.heldResponse = []
      x.heldResponse.push(Buffer.from(bytes.subarray(start, end)))
      x.heldResponseBytes += end - start
      if (x.holdResponseLimit === 0) return false
      if (x.heldResponseBytes > x.holdResponseLimit) heldResponseReady(x)
      return true
    }
    const to = x.tunnel === null ? end : x.tunnel.onResponse(bytes, start, end)
    x.responseBytes += to - start
    x.responseBlocked = !x.downstream.sendBody(bytes, start, to, stable)
    x.tunnel?.afterResponse()
    return !x.responseBlocked
  }

  onFlush(attempt: Attempt): void {
    const x = attempt.exchange
    if (x.responseHeld) return
    x.downstream.flush()
    // Only a response that takes more than one read comes here: from now on it must keep moving.
    if (x.headSent) this.#limits.rearm(x)
  }

  onEnd(attempt: Attempt, trailers: string): void {
    const x = attempt.exchange
    if (x.grpc !== null) return this.#grpc.end(x, attempt, trailers)
    this.#finisher.endAttempt(attempt, 'success', null)
    this.#endWith(x, trailers)
  }

  #endWith(x: Exchange, trailers: string): void {
    if (x.responseHeld) {
      x.heldResponseEnd = trailers
      heldResponseReady(x)
    } else {
      this.#end(x, trailers)
    }
  }

  // ---- 6. the response is complete ----

  #end(x: Exchange, given: string): void {
    const trailers = x.responseTransform === null ? given : sendLastBody(x, x.responseTransform, given, this.#failLate)
    if (x.finished) return
    x.responseComplete = true
    x.downstream.sendEnd(trailers)
    this.#finisher.finish(x)
  }

  /** A response made here: of the route, a filter, or an error of ours. Response filters that were entered see it too. */
  #answer(x: Exchange): void {
    const local = localOf(x)
    this.#finisher.cancelAttempt(x, 'neutral', null)
    setLocalResponse(x, local)
    stampResponse(x, this.#date)
    x.epoch++
    x.responseHeld = true
    x.heldRequest = null
    x.heldResponse = local.body === null ? null : [local.body]
    x.heldResponseEnd = ''
    const filters = x.route?.filters ?? null
    if (filters !== null && x.filterIndex > 0) this.#filters.response(x, x.route as CompiledRoute)
    else this.#releaseResponse(x)
  }

  // ---- what can go wrong ----

  onFailure(attempt: Attempt, code: ErrorCode, detail: string): void {
    const x = attempt.exchange
    const isLocal = code === 'pool_overflow'
    const wasStale = attempt.reused && !attempt.headReceived && (code === 'upstream_reset' || code === 'upstream_refused')
    // A kept-alive connection that dies under a request says that the endpoint was tired of waiting, not that it is ill.
    this.#finisher.endAttempt(attempt, isLocal || wasStale ? 'neutral' : 'failure', code)
    if (x.headSent) return this.#breakOff(x, code)
    if (this.#attempts.hedging.hasOther(x, attempt)) return
    if (!this.#attempts.isTriedAgain(x, attempt, code, wasStale))
      this.#fail(x, code, `service ${x.service?.service.name ?? '-'}: ${publicDetail(code, detail)}`)
  }

  readonly #onRequestTimeout = (x: Exchange): void => {
    if (x.finished) return
    // What a client of gRPC allows its call says nothing about the service.
    this.#finisher.cancelAttempt(x, isClientsDeadline(x, this.#context.clock.now()) ? 'neutral' : 'failure', 'upstream_timeout')
    if (x.headSent) this.#breakOff(x, 'upstream_timeout')
    else this.#fail(x, 'upstream_timeout', 'the service did not answer in time')
  }

  onShutdown(x: Exchange): void {
    x.tunnel?.goAway()
  }

  /** The client has gone away. */
  onClosed(x: Exchange): void {
    if (x.finished) return
    // That is how the other protocol ends.
    const code = x.tunnel === null ? 'client_closed' : null
    x.errorCode = code
    this.#finisher.cancelAttempt(x, 'neutral', code)
    this.#finisher.finish(x)
  }

  onDrain(subject: Exchange | Attempt): void {
    if (subject instanceof Attempt) {
      const x = subject.exchange
      x.requestBlocked = false
      if (!x.headSent && !x.requestComplete) this.#limits.rearm(x)
      x.downstream.resumeRequest()
    } else if (!subject.responseHeld) {
      subject.responseBlocked = false
      this.#continueResponse(subject)
    }
  }

  /** An error answer, when there is still somebody to answer; or what is configured to be answered instead. */
  #fail(x: Exchange, code: ErrorCode, detail: string): void {
    if (x.finished) return
    const fallback = fallbackForError(x, code)
    if (fallback !== null && isPossible(x, fallback, this.#attempts)) return this.#fallBack(x, fallback, code)
    x.errorCode = code
    x.local = createError(x, code, detail, this.#context.clock.now())
    this.#answer(x)
  }

  /** The service answered with a status that something else is answered for. */
  #isReplaced(x: Exchange, attempt: Attempt): boolean {
    const fallback = fallbackForStatus(x, attempt)
    if (fallback === null || !isPossible(x, fallback, this.#attempts)) return false
    this.#finisher.cancel(attempt, 'success', null)
    this.#fallBack(x, fallback, null)
    return true
  }

  #fallBack(x: Exchange, fallback: FallbackRuntime, code: ErrorCode | null): void {
    const { service } = fallback
    ;((x.service ?? (x.route as CompiledRoute).single) as ServiceRuntime | null)?.metrics.fallback(x.fallbackCause as string)
    if (fallback.answer !== null) {
      x.errorCode = code
      x.local = fallback.answer(x)
      this.#answer(x)
    } else if (service !== null && x.service === null) {
      takeBackRejection(x, service)
      this.#filters.request(x, x.route as CompiledRoute)
    } else if (service !== null) {
      this.#finisher.cancelAttempt(x, 'neutral', code)
      if (x.service !== null) this.#finisher.leaveService(x)
      this.#attempts.move(x, code)
      x.service = service
      this.#limits.begin(x, service, x.nowMs)
      this.#attempts.begin(x, service)
    }
  }

  /** The request proved bad after its head was accepted. */
  readonly #failLate = (x: Exchange, code: ErrorCode, detail: string): void => {
    if (x.finished || x.local !== null) return
    this.#finisher.cancelAttempt(x, 'neutral', code)
    if (x.headSent) this.#breakOff(x, code)
    else this.#fail(x, code, detail)
  }

  /** Part of the response is out: the only honest end is a broken connection. */
  #breakOff(x: Exchange, code: ErrorCode): void {
    x.errorCode = code
    if (x.grpc === null || !endBrokenCall(x, code, this.#context.clock.now())) x.downstream.abort()
    this.#finisher.finish(x)
  }

  #defect(x: Exchange, error: unknown): void {
    this.#context.onDefect(error, 'the request path')
    if (x.headSent) this.#breakOff(x, 'internal')
    else this.#fail(x, 'internal', 'the gateway failed')
  }
}
