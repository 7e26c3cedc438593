import type { CircuitBreakerConfig } from './circuit-breaker.ts'

/** The parameters of a Hystrix command that concern its circuit. All have Hystrix's defaults. */
export interface HystrixOptions {
  /** circuitBreaker.requestVolumeThreshold: default 20. */
  requestVolumeThreshold?: number
  /** circuitBreaker.sleepWindowInMilliseconds: default 5000. */
  sleepWindowMs?: number
  /** circuitBreaker.errorThresholdPercentage, whole percent: default 50. */
  errorThresholdPercentage?: number
  /** metrics.rollingStats.timeInMilliseconds: default 10000, in ten pieces. */
  rollingWindowMs?: number
  /** execution.isolation.thread.timeoutInMilliseconds: default 1000. A probe that takes longer has lost its place. */
  timeoutMs?: number
}

/**
 * The breaker that opens exactly when Hystrix's would: at `requests >= volume` and `int(errors / requests * 100 + 0.5) >= threshold`,
 * one probe, an open time that does not grow. One difference is meant: requests we refuse ourselves never count as errors, where
 * Hystrix counts them and so keeps itself open.
 */
export function fromHystrix(options: HystrixOptions = {}): CircuitBreakerConfig {
  const {
    requestVolumeThreshold = 20,
    sleepWindowMs = 5000,
    errorThresholdPercentage = 50,
    rollingWindowMs = 10_000,
    timeoutMs = 1000,
  } = options
  return {
    windowMs: rollingWindowMs,
    minRequests: Math.max(1, requestVolumeThreshold),
    errorRateRatio: errorThresholdPercentage / 100,
    roundsToPercent: true,
    slowCallMs: null,
    slowRateRatio: 1,
    openForMs: sleepWindowMs,
    maxOpenForMs: sleepWindowMs,
    probes: 1,
    probeTimeoutMs: Math.max(1, timeoutMs),
  }
}
