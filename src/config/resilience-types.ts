/** What `services.<name>.ejection` and `.breaker` become. */

/** When endpoints get no requests for a while because of what requests found. */
export interface EjectionConfig {
  /** Failures in a row, within `failTimeoutMs`, that put an endpoint aside for as long; 0: none do. */
  maxFails: number
  failTimeoutMs: number
  /** Comparison with the other endpoints; null: there is none. */
  outliers: OutlierConfig | null
}

/** As breaker/ejection.ts has it, with the limits of the sweep. */
export interface OutlierConfig {
  intervalMs: number
  errorRateRatio: number | null
  latencyFactor: number | null
  minLatencyMs: number
  minRequests: number
  minEndpoints: number
  ejectionMs: number
  maxEjectionMs: number
  /** Of the endpoints with weight, those put aside by failures included. */
  maxEjectedRatio: number
}

export type BreakerConfig = CircuitBreakerSettings | AdaptiveThrottleSettings

/** One for all endpoints of a service, or one for each. */
export type BreakerScope = 'service' | 'endpoint'

/** As breaker/circuit-breaker.ts has it. */
export interface CircuitBreakerSettings {
  kind: 'circuit'
  per: BreakerScope
  windowMs: number
  minRequests: number
  errorRateRatio: number
  /** As Hystrix rounds. */
  roundsToPercent: boolean
  slowCallMs: number | null
  slowRateRatio: number
  openForMs: number
  maxOpenForMs: number
  probes: number
  probeTimeoutMs: number
}

/** As breaker/adaptive-throttle.ts has it. */
export interface AdaptiveThrottleSettings {
  kind: 'adaptive-throttle'
  per: BreakerScope
  windowMs: number
  k: number
  minRequests: number
  passEveryMs: number
}
