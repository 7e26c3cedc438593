import type { ErrorCode } from '../base/error.ts'
import type { DownstreamEvents } from '../exchange/contracts.ts'
import { createLocalHead, type Exchange } from '../exchange/exchange.ts'
import type { AccessEntry } from '../observe/access-log.ts'
import { Finisher } from './finish.ts'
import { type ConnectOwner, ForwardConnect } from './forward-connect.ts'
import { refuseAgain } from './forward-loop.ts'
import { parseDestination } from './forward-policy.ts'
import { ForwardRoute, refuseBeforeParent, refuseClient } from './forward-route.ts'
import type { ForwardRuntime } from './forward-runtime.ts'
import type { ForwardService } from './forward-service.ts'
import { RequestHandler } from './handle.ts'
import type { ListenerRuntime, ProxyContext, Snapshot } from './runtime.ts'

/** The worker's context with one difference: requests match the route of the forward proxy, whatever they ask for. */
class ForwardContext implements ProxyContext {
  readonly #base: ProxyContext
  readonly #route: ForwardRoute
  #snapshot: Snapshot
  #of: Snapshot

  constructor(base: ProxyContext, route: ForwardRoute) {
    this.#base = base
    this.#route = route
    this.#of = base.snapshot
    this.#snapshot = { ...base.snapshot, routes: route }
  }

  get clock() {
    return this.#base.clock
  }

  get random() {
    return this.#base.random
  }

  get wheel() {
    return this.#base.wheel
  }

  get fineWheel() {
    return this.#base.fineWheel
  }

  get errors() {
    return this.#base.errors
  }

  get nextRequestId() {
    return this.#base.nextRequestId
  }

  get onDefect() {
    return this.#base.onDefect
  }

  get accessLog(): ((x: Exchange, durationMs: number, status: number) => void) | null {
    return this.#base.accessLog
  }

  get logConnection(): ((entry: AccessEntry) => void) | null {
    return this.#base.logConnection
  }

  get snapshot(): Snapshot {
    const { snapshot } = this.#base
    if (snapshot !== this.#of) {
      this.#of = snapshot
      this.#snapshot = { ...snapshot, routes: this.#route }
    }
    return this.#snapshot
  }
}

/**
 * A forward proxy (RFC 9110 section 3.7): requests in absolute form take the way of every request, on the one route there is; CONNECT
 * becomes a tunnel.
 */
export class ForwardProxy implements DownstreamEvents, ConnectOwner {
  readonly context: ProxyContext
  /** Where connections to destinations report. */
  readonly handler: RequestHandler
  readonly #finisher: Finisher
  readonly #route: ForwardRoute
  #runtime: ForwardRuntime
  readonly #connects = new Map<Exchange, ForwardConnect>()

  constructor(context: ProxyContext, runtime: ForwardRuntime) {
    this.#runtime = runtime
    this.#route = new ForwardRoute(runtime)
    this.context = new ForwardContext(context, this.#route)
    this.handler = new RequestHandler(this.context)
    this.#finisher = new Finisher(this.context)
  }

  /** Before the first request, and with each reload. The connections of the service report to `handler`. */
  use(runtime: ForwardRuntime, service: ForwardService): void {
    this.#runtime = runtime
    this.#route.use(runtime, service)
  }

  onRequest(x: Exchange): void {
    if (x.method === 'CONNECT') this.#connect(x)
    else this.handler.onRequest(x)
  }

  // ---- CONNECT ----

  #connect(x: Exchange): void {
    const runtime = this.#runtime
    x.route = this.#route.route
    x.authority = x.request.target
    const destination = parseDestination(x.request.target, null)
    const refusal = refuseClient(x, runtime) ?? refuseAgain(x)
    if (refusal !== null) return this.handler.onBadRequest(x, refusal.code, refusal.detail)
    if (destination === null || x.hasRequestBody)
      return this.handler.onBadRequest(x, 'bad_request', 'CONNECT takes a host and a port, and no body')
    x.host = destination.host
    const problem = runtime.policy.refuses(destination, true) ?? refuseBeforeParent(destination, runtime)
    if (problem !== null) return this.handler.onBadRequest(x, 'destination_denied', problem)
    ;(x.listener as ListenerRuntime).metrics.requestsInFlight.add(1)
    x.snapshot = this.context.snapshot
    const connect = new ForwardConnect(this, x, runtime, destination)
    this.#connects.set(x, connect)
    connect.start()
  }

  onConnectFailed({ x }: ForwardConnect, code: ErrorCode, detail: string): void {
    this.#connects.delete(x)
    // It counts the request once more.
    ;(x.listener as ListenerRuntime).metrics.requestsInFlight.add(-1)
    this.handler.onBadRequest(x, code, detail)
  }

  onConnectEnded(connect: ForwardConnect, code: ErrorCode | null): void {
    const { x } = connect
    this.#connects.delete(x)
    x.errorCode = code
    x.requestBytes = connect.receivedBytes
    x.responseBytes = connect.sentBytes
    x.response = createLocalHead(200)
    x.responseComplete = true
    this.#finisher.finish(x)
  }

  onClosed(x: Exchange): void {
    const connect = this.#connects.get(x)
    if (connect === undefined) this.handler.onClosed(x)
    else connect.abandon()
  }

  /** Tunnels live as long as the time for draining. */
  onShutdown(x: Exchange): void {
    if (!this.#connects.has(x)) this.handler.onShutdown(x)
  }

  // ---- everything else is as for any request ----

  onBadRequest(x: Exchange, code: ErrorCode, detail: string): void {
    this.handler.onBadRequest(x, code, detail)
  }

  onRequestBody(x: Exchange, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    return this.handler.onRequestBody(x, bytes, start, end, stable)
  }

  onRequestEnd(x: Exchange, trailers: string): void {
    this.handler.onRequestEnd(x, trailers)
  }

  onRequestFlush(x: Exchange): void {
    this.handler.onRequestFlush(x)
  }

  onDrain(x: Exchange): void {
    this.handler.onDrain(x)
  }

  onRequestError(x: Exchange, code: ErrorCode, detail: string): void {
    this.handler.onRequestError(x, code, detail)
  }
}
