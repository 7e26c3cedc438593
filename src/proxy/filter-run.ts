import { type ErrorCode, GatewayError } from '../base/error.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { CompiledRoute } from './runtime.ts'

type Filters = NonNullable<CompiledRoute['filters']>

/** What follows from what filters do; the handler itself. */
export interface FilterHost {
  /** A request filter has answered. */
  answer(x: Exchange): void
  fail(x: Exchange, code: ErrorCode, detail: string): void
  /** Every request filter has let it pass. */
  route(x: Exchange, route: CompiledRoute): void
  /** A response filter has put another response in place of the endpoint's. */
  replaceResponse(x: Exchange): void
  /** Every response filter is done. */
  releaseResponse(x: Exchange): void
  /** A filter is about to be waited for. */
  armForFilter(x: Exchange, route: CompiledRoute): void
  onFilterDefect(error: unknown, route: string): void
  defect(x: Exchange, error: unknown): void
}

/** Runs the filters of a route: request filters in order, response filters in reverse. Synchronous unless one returns a promise. */
export class FilterRun {
  readonly #host: FilterHost

  constructor(host: FilterHost) {
    this.#host = host
  }

  request(x: Exchange, route: CompiledRoute): void {
    const filters = route.filters as Filters
    while (x.filterIndex < filters.length) {
      const { onRequest } = filters[x.filterIndex++] as Filters[number]
      if (onRequest === null) continue
      let pending: void | Promise<void>
      try {
        pending = onRequest(x)
      } catch (error) {
        return this.#threw(x, error, x.epoch)
      }
      if (pending !== undefined) return this.#wait(x, route, pending, () => this.#afterRequest(x, route))
      if (x.local !== null) return this.#host.answer(x)
      if (x.rejection !== null) return this.#host.fail(x, x.rejection, x.rejectionDetail)
    }
    this.#host.route(x, route)
  }

  #afterRequest(x: Exchange, route: CompiledRoute): void {
    if (x.local !== null) this.#host.answer(x)
    else this.request(x, route)
  }

  response(x: Exchange, route: CompiledRoute): void {
    const filters = route.filters as Filters
    while (x.filterIndex > 0) {
      const { onResponse } = filters[--x.filterIndex] as Filters[number]
      if (onResponse === null) continue
      let pending: void | Promise<void>
      try {
        pending = onResponse(x)
      } catch (error) {
        return this.#threw(x, error, x.epoch)
      }
      if (pending !== undefined) return this.#wait(x, route, pending, () => this.#afterResponse(x, route))
      if (x.local !== x.appliedLocal) this.#host.replaceResponse(x)
    }
    this.#host.releaseResponse(x)
  }

  #afterResponse(x: Exchange, route: CompiledRoute): void {
    if (x.local !== x.appliedLocal) this.#host.replaceResponse(x)
    this.response(x, route)
  }

  /** Goes on when the filter is done, unless the exchange has taken another way meanwhile. */
  #wait(x: Exchange, route: CompiledRoute, pending: Promise<void>, proceed: () => void): void {
    const { epoch } = x
    this.#host.armForFilter(x, route)
    pending.then(
      () => {
        if (x.finished || x.epoch !== epoch) return
        try {
          proceed()
        } catch (error) {
          this.#host.defect(x, error)
        }
      },
      (error: unknown) => this.#threw(x, error, epoch),
    )
  }

  /** An error it names itself (a body too large, say) is the answer; anything else is a defect of the filter. */
  #threw(x: Exchange, error: unknown, epoch: number): void {
    if (x.finished || x.epoch !== epoch) return
    if (error instanceof GatewayError) return this.#host.fail(x, error.code, error.message)
    this.#host.onFilterDefect(error, x.route?.name ?? '-')
    x.filterIndex = 0
    this.#host.fail(x, 'internal', 'a filter failed')
  }
}
