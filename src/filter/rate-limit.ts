import type { RateLimitFilterConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import type { SharedTable } from '../limit/shared-table.ts'
import { createKeyExtractor } from '../service/balance/key.ts'

/** Requests that have no key of the configured kind share this bucket: leaving the header out must not be a way around the limit. */
const NO_KEY = ''

/**
 * Lets requests pass at a rate, by a token bucket for each key that all workers share; the others are answered with 429, Retry-After, and
 * the fields of draft-ietf-httpapi-ratelimit-headers.
 */
export function createRateLimitFilter(config: RateLimitFilterConfig, table: SharedTable): Filter {
  const extract = config.by === null ? null : createKeyExtractor(config.by)
  const label = config.name ?? 'default'
  const policy = `"${label}";q=${config.burst};w=${Math.max(1, Math.ceil(config.burst / config.ratePerSecond))}`
  return {
    name: 'rate-limit',
    onRequest(x: Exchange): void {
      const key = extract === null ? NO_KEY : (extract(x) ?? NO_KEY)
      const result = table.take(key, x.startedMs)
      if (result.allowed) return
      const { remaining, resetMs, retryAfterMs } = result
      x.retryAfterMs = retryAfterMs
      x.errorHeaders = ['RateLimit-Policy', policy, 'RateLimit', `"${label}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`]
      x.reject('rate_limited', 'too many requests; try again later')
    },
    onResponse: null,
    onFinish: null,
  }
}
