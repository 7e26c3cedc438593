import type { ResponseHead } from '../codec/http1/head.ts'
import type { FilterFunction } from '../config/filter-api.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { CustomContext, type RunGuards } from './custom-context.ts'
import { createDeferred, type Deferred, ExchangeEndedError, isExchangeEnd } from './custom-promise.ts'

/** Where a defect is told of that no request can be answered with. */
export interface CustomEnvironment {
  readonly onDefect: (error: unknown, where: string) => void
}

/**
 * A filter from a function of the user's (config/filter-api.ts). The function runs once per request, and `next()` cuts its run in two:
 *
 *   onRequest    the function starts; when it calls next(), or returns after x.respond(), the proxy goes on
 *   onResponse   next() resolves; when the function returns, the proxy goes on
 *   onFinish     if the function is still at work, everything it waits for rejects
 *
 * Nothing is waited for when the function calls next() at once and returns its promise. Throws an Error when `fn` is no function.
 */
export function createCustomFilter(name: string, fn: unknown, env: CustomEnvironment): Filter {
  if (typeof fn !== 'function') throw new Error(`the configuration no longer has the function ${name} where it was`)
  const filter: Filter = {
    name: `custom ${name}`,
    onRequest(x: Exchange): void | Promise<void> {
      const run = new CustomRun(x, name, env)
      x.isRetained = true
      x.filterData ??= new Map()
      x.filterData.set(filter, run)
      return run.start(fn as FilterFunction)
    },
    onResponse(x: Exchange): void | Promise<void> {
      return runOf(x)?.onResponse()
    },
    onFinish(x: Exchange): void {
      runOf(x)?.onFinish()
    },
  }
  const runOf = (x: Exchange): CustomRun | undefined => x.filterData?.get(filter) as CustomRun | undefined
  return filter
}

/** The function is at work on the request. */
const REQUEST = 'request'
/** It has called next(). */
const WAITING = 'waiting'
/** It is at work on the response. */
const RESPONSE = 'response'
/** It has returned or failed, or the exchange went on without it. */
const DONE = 'done'

type Phase = typeof REQUEST | typeof WAITING | typeof RESPONSE | typeof DONE

/** One run of a custom filter on one exchange. */
class CustomRun implements RunGuards {
  readonly x: Exchange
  readonly #name: string
  readonly #env: CustomEnvironment
  readonly #context: CustomContext
  #phase: Phase = REQUEST
  /** Of the exchange when the current phase began: when it has changed, the exchange went on without us. */
  #epoch: number
  /** What `onRequest` waits for. */
  #gate: Deferred<void> | null = null
  #next: Deferred<void> | null = null
  /** What `onResponse` waits for. */
  #settled: Deferred<void> | null = null
  /** The function gave back the promise of `next()`: nothing of it is left to run on the response. */
  #returnedNext = false
  /** It failed between `next()` and the response. */
  #failure: { error: unknown } | null = null

  constructor(x: Exchange, name: string, env: CustomEnvironment) {
    this.x = x
    this.#name = name
    this.#env = env
    this.#epoch = x.epoch
    this.#context = new CustomContext(this)
  }

  // ---- what the proxy calls ----

  start(fn: FilterFunction): void | Promise<void> {
    let result: unknown
    try {
      result = fn(this.#context, this.#onNext)
      if (!isThenable(result)) this.#onReturned()
      else if (this.#next !== null && result === this.#next.promise) this.#returnedNext = true
      else this.#follow(result)
    } catch (error) {
      this.#phase = DONE
      this.#cancelBodies('the filter has failed')
      throw error
    }
    return this.#gate?.promise
  }

  /** The function goes on by itself. */
  #follow(result: PromiseLike<unknown>): void {
    if (this.#phase === REQUEST) this.#gate = createDeferred()
    Promise.resolve(result).then(this.#onReturned).then(undefined, this.#onFailed)
  }

  onResponse(): void | Promise<void> {
    if (this.#phase === REQUEST) {
      // The exchange has been answered while the function was still at work on the request, by a timeout for example.
      this.#end(`it was answered with ${this.x.response?.status}`)
    } else if (this.#phase === WAITING) {
      this.#phase = RESPONSE
      this.#epoch = this.x.epoch
      this.#context.onResponse(this.x.response as ResponseHead)
      this.#next?.resolve()
      if (this.#returnedNext) this.#phase = DONE
      else this.#settled = createDeferred()
      return this.#settled?.promise
    } else if (this.#failure !== null) {
      const { error } = this.#failure
      this.#failure = null
      throw error
    }
  }

  onFinish(): void {
    const { x } = this
    if (this.#failure !== null) this.#report(this.#failure.error)
    this.#failure = null
    if (this.#phase !== DONE)
      this.#end(x.errorCode === 'client_closed' ? 'the client has left' : `it ended with ${x.errorCode ?? 'its response'}`)
  }

  // ---- what the function does ----

  readonly #onNext = (): Promise<void> => {
    if (this.#next !== null) throw new Error('next() was called twice')
    if (this.#isVoid) throw this.#endedError()
    if (this.#phase !== REQUEST) throw new Error('next() was called after the filter had returned')
    if (this.x.local !== null) throw new Error('next() was called after x.respond()')
    const { request } = this.#context
    if (request.held.isWaiting) throw new Error('next() was called before x.request.body() was there: await it first')
    this.#phase = WAITING
    const next = createDeferred<void>()
    this.#next = next
    if (request.replacement === null) this.#gate?.resolve()
    else this.#sendReplacement(request.replacement)
    return next.promise
  }

  #sendReplacement(bytes: Buffer): void {
    let isPlaced = false
    this.#context.request.held.replace(bytes, () => {
      isPlaced = true
      this.#gate?.resolve()
    })
    if (!isPlaced) this.#gate ??= createDeferred()
  }

  readonly #onReturned = (): void => {
    const phase = this.#phase
    if (phase === DONE) return
    if (!this.#isVoid) {
      if (phase === RESPONSE) this.#context.response.apply()
      else if (phase === REQUEST && this.x.local === null) {
        throw new Error(`the filter ${this.#name} returned without calling next() or x.respond()`)
      }
    }
    this.#phase = DONE
    if (phase !== WAITING) this.#release()
  }

  readonly #onFailed = (error: unknown): void => {
    const phase = this.#phase
    this.#phase = DONE
    if (phase === DONE || (phase !== WAITING && this.#isVoid)) {
      if (!isExchangeEnd(error)) this.#report(error)
      this.#release()
    } else if (phase === WAITING) {
      this.#failure = { error }
    } else {
      this.#cancelBodies('the filter has failed')
      if (phase === REQUEST) this.#gate?.reject(error)
      else this.#settled?.reject(error)
    }
  }

  /** Lets the proxy go on. */
  #release(): void {
    this.#cancelBodies('the filter has returned')
    this.#gate?.resolve()
    this.#settled?.resolve()
  }

  // ---- the end ----

  /** Nobody is interested any more: all that the function waits for rejects. */
  #end(reason: string): void {
    const error = new ExchangeEndedError(reason)
    const wasWaiting = this.#phase === WAITING
    this.#phase = DONE
    this.#cancelBodies(error.message)
    if (wasWaiting) this.#next?.reject(error)
    this.#context.abort(error)
    this.#gate?.resolve()
    this.#settled?.resolve()
  }

  #cancelBodies(reason: string): void {
    this.#context.cancelBodies(new ExchangeEndedError(reason))
  }

  #report(error: unknown): void {
    this.#env.onDefect(error, `the filter ${this.#name} of route ${this.x.route?.name ?? '-'}`)
  }

  /** The exchange has turned to another answer, or is over. */
  get #isVoid(): boolean {
    return this.x.finished || this.x.epoch !== this.#epoch
  }

  #endedError(): Error {
    return new ExchangeEndedError(this.x.finished ? 'it is over' : `it was answered with ${this.x.response?.status}`)
  }

  // ---- what the context asks ----

  readonly assertRequest = (): void => {
    if (this.#phase === REQUEST) {
      if (this.#isVoid) throw this.#endedError()
    } else if (this.#phase === DONE && this.#next === null) {
      throw this.#isVoid ? this.#endedError() : new Error('the filter has returned: its request cannot be changed any more')
    } else {
      throw new Error('the request has gone on: change it before next()')
    }
  }

  readonly assertResponse = (): void => {
    if (this.#phase === REQUEST || this.#phase === WAITING) throw new Error('there is no response yet: await next() first')
    if (this.#isVoid) throw this.#endedError()
    if (this.#phase === DONE) throw new Error('the filter has returned: its response cannot be changed any more')
  }

  readonly assertAnswer = (): void => {
    if (this.#next !== null && this.#phase === WAITING)
      throw new Error('x.respond() was called while next() is under way: await next() first')
    if (this.#next !== null) this.assertResponse()
    else this.assertRequest()
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
