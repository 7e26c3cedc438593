import type { ResponseHead } from '../codec/http1/head.ts'
import type { BodyValue, FilterContext, RespondOptions } from '../config/filter-api.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { encodeBody } from './custom-body.ts'
import { checkField } from './custom-headers.ts'
import { RequestView } from './custom-request.ts'
import { ResponseView } from './custom-response.ts'

/** What may be done at this moment of a run. Each throws an Error that says why when it may not. */
export interface RunGuards {
  readonly x: Exchange
  readonly assertRequest: () => void
  readonly assertResponse: () => void
  /** Before next(), or between its return and that of the filter. */
  readonly assertAnswer: () => void
}

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({})

/** The `x` of a custom filter. */
export class CustomContext implements FilterContext {
  readonly #guards: RunGuards
  readonly request: RequestView
  #response: ResponseView | null = null
  #controller: AbortController | null = null
  #endReason: Error | null = null

  constructor(guards: RunGuards) {
    this.#guards = guards
    this.request = new RequestView(guards.x, guards.assertRequest)
  }

  get response(): ResponseView {
    if (this.#response === null) throw new Error('there is no response yet: await next() first')
    return this.#response
  }

  get params(): Readonly<Record<string, string>> {
    return this.#guards.x.params ?? NO_PARAMS
  }

  get route(): string {
    return this.#guards.x.route?.name ?? ''
  }

  get state(): Map<unknown, unknown> {
    const { x } = this.#guards
    x.state ??= new Map()
    return x.state
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#endReason !== null) this.#controller.abort(this.#endReason)
    }
    return this.#controller.signal
  }

  respond(status: number, body?: BodyValue): void
  respond(response: RespondOptions): void
  respond(first: number | RespondOptions, second?: BodyValue): void {
    const options = typeof first === 'number' ? { status: first, body: second ?? null } : first
    const headers = flattenHeaders(options.headers ?? {})
    const { bytes, type } = encodeBody(options.body)
    if (type !== null && !hasName(headers, 'content-type')) headers.push('Content-Type', type)
    this.#guards.assertAnswer()
    this.#guards.x.respond(options.status ?? 200, headers, bytes.length === 0 ? null : bytes)
  }

  // ---- for the run ----

  /** The response is there. */
  onResponse(head: ResponseHead): void {
    this.#response = new ResponseView(this.#guards.x, head, this.#guards.assertResponse)
  }

  cancelBodies(error: Error): void {
    this.request.held.cancel(error)
    this.#response?.held.cancel(error)
  }

  /** The exchange ended while the filter was at work. */
  abort(reason: Error): void {
    this.#endReason = reason
    this.#controller?.abort(reason)
  }
}

function flattenHeaders(headers: NonNullable<RespondOptions['headers']>): string[] {
  const flat: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'object' && value !== null) for (const one of value) flat.push(name, checkField(name, one))
    else flat.push(name, checkField(name, value))
  }
  return flat
}

function hasName(flat: readonly string[], lowerName: string): boolean {
  for (let i = 0; i < flat.length; i += 2) if ((flat[i] as string).toLowerCase() === lowerName) return true
  return false
}
