import type { ErrorCode } from '../base/error.ts'
import type { FallbackCause, FallbackConfig } from '../config/types.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import { type Answer, createRespondAnswer } from '../filter/answer.ts'
import type { CompiledRoute, ServiceRuntime } from './runtime.ts'

/** What an error of ours means to a fallback. Mistakes of the client are not in it. */
const CAUSES: Partial<Record<ErrorCode, FallbackCause>> = {
  breaker_open: 'breaker-open',
  overloaded: 'overloaded',
  pool_overflow: 'overloaded',
  concurrency_limit: 'overloaded',
  queue_timeout: 'overloaded',
  load_shed: 'overloaded',
  upstream_timeout: 'timeout',
  connect_timeout: 'timeout',
  no_endpoint: 'no-endpoint',
  connect_failed: 'failure',
  upstream_tls: 'failure',
  upstream_reset: 'failure',
  upstream_protocol: 'failure',
  upstream_truncated: 'failure',
  rate_limited: 'rate-limited',
}

/** A fallback, ready for use. Either `answer` or `service` is set. */
export interface FallbackRuntime {
  readonly causes: ReadonlySet<FallbackCause>
  /** Bit per status, from 500 on: which statuses of the service are replaced. */
  readonly statuses: Uint8Array | null
  /** Bit per gRPC code, the same for calls. */
  readonly grpcStatuses: number
  readonly answer: Answer | null
  readonly service: ServiceRuntime | null
}

/** Throws when the service it names is none. */
export function createFallback(config: FallbackConfig, services: ReadonlyMap<string, ServiceRuntime>): FallbackRuntime {
  let statuses: Uint8Array | null = null
  for (const { from, to } of config.statuses) {
    statuses ??= new Uint8Array(600)
    statuses.fill(1, from, to + 1)
  }
  const service = config.to === null ? null : services.get(config.to)
  if (service === undefined) throw new Error(`no service named "${config.to}"`)
  let grpcStatuses = 0
  for (const code of config.grpcStatuses) grpcStatuses |= 1 << code
  const answer = config.respond === null ? null : createRespondAnswer(config.respond)
  return { causes: new Set(config.on), statuses, grpcStatuses, answer, service }
}

function fallbackOf(x: Exchange): FallbackRuntime | null {
  const route = x.route as CompiledRoute | null
  // Once: what is answered instead has nothing behind it.
  if (route === null || x.fallbackCause !== null) return null
  return x.service === null ? route.fallback : (route.fallbacks?.get(x.service as ServiceRuntime) ?? null)
}

/**
 * Whether it can be done: a request goes to another service as long as it is whole. One that filters have not let pass goes nowhere, but for
 * one that came too often, which the filters behind that limit still look at. When it cannot be done, it counts as not done.
 */
export function isPossible(x: Exchange, { service }: FallbackRuntime, attempts: { canMove(x: Exchange): boolean }): boolean {
  const isStopped = x.service === null && x.fallbackCause !== 'rate-limited'
  if (service === null || (!isStopped && attempts.canMove(x))) return true
  x.fallbackCause = null
  return false
}

/** What a filter has refused goes on, to the service of the fallback, through the filters that are left. */
export function takeBackRejection(x: Exchange, service: ServiceRuntime): void {
  x.service = service
  x.rejection = null
  x.errorHeaders = null
  x.retryAfterMs = 0
}

/** What to do instead of this error; null: nothing. Remembers that it was done. */
export function fallbackForError(x: Exchange, code: ErrorCode): FallbackRuntime | null {
  const fallback = fallbackOf(x)
  const cause = CAUSES[code]
  if (fallback === null || cause === undefined || !fallback.causes.has(cause)) return null
  x.fallbackCause = cause
  return fallback
}

/** What to do instead of what this attempt was answered with; null: nothing. */
export function fallbackForStatus(x: Exchange, { status, grpcStatus }: Attempt): FallbackRuntime | null {
  const fallback = fallbackOf(x)
  if (fallback === null) return null
  const { statuses, grpcStatuses } = fallback
  if ((statuses === null || statuses[status] !== 1) && (grpcStatus <= 0 || ((grpcStatuses >>> grpcStatus) & 1) === 0)) return null
  x.fallbackCause = 'status'
  return fallback
}

/** The end of a call may still bring a status that something else is answered for. */
export function awaitsGrpcStatus(x: Exchange): boolean {
  const fallback = fallbackOf(x)
  if (fallback === null || fallback.grpcStatuses === 0) return false
  return fallback.service === null || !x.hasRequestBody || x.replay !== null
}

/** The body of a call has to be kept, although nothing else asks for it: every call has one, and another service would need it. */
export function keepsBodyOfCall(x: Exchange): boolean {
  const fallback = fallbackOf(x)
  return fallback !== null && fallback.grpcStatuses !== 0 && fallback.service !== null
}
