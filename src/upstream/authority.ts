import type { Attempt } from '../exchange/exchange.ts'

/** What goes out as Host or :authority. `hostHeader`: 'preserve', 'endpoint', or the value itself. */
export function authorityFor(attempt: Attempt, hostHeader: string): string {
  const x = attempt.exchange
  if (x.upstreamHost !== null) return x.upstreamHost
  if (hostHeader === 'preserve' && x.authority !== '') return x.authority
  return hostHeader === 'preserve' || hostHeader === 'endpoint' ? attempt.endpoint.address : hostHeader
}
