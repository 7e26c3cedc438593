/** `services.<name>.breaker`: when too many requests fail, a service or an endpoint is left alone for a while. */
import { z } from 'zod'
import { ADAPTIVE_THROTTLE_DEFAULTS } from '../breaker/adaptive-throttle.ts'
import { CIRCUIT_BREAKER_DEFAULTS, type CircuitBreakerConfig } from '../breaker/circuit-breaker.ts'
import { fromHystrix } from '../breaker/hystrix.ts'
import { percentage } from './percentage.ts'
import type { BreakerConfig } from './resilience-types.ts'
import { duration, integer, positiveDuration, strict } from './schema-kit.ts'

const MULTIPLIER_EXPECTED = 'expected a number from 1 to 10'

/** Hystrix's own names, so that its settings can be copied. */
const hystrix = strict({
  requestVolumeThreshold: integer(1, 1_000_000).default(20).describe('circuitBreaker.requestVolumeThreshold.'),
  sleepWindowInMilliseconds: integer(1, 86_400_000).default(5000).describe('circuitBreaker.sleepWindowInMilliseconds.'),
  errorThresholdPercentage: integer(1, 100).default(50).describe('circuitBreaker.errorThresholdPercentage.'),
  rollingStatsTimeInMilliseconds: integer(10, 86_400_000).default(10_000).describe('metrics.rollingStats.timeInMilliseconds.'),
})

type Kind = BreakerConfig['kind'] | 'hystrix'

/** The keys that only some kinds know, and which. */
const KINDS_OF: Readonly<Record<string, readonly Kind[]>> = {
  errorRate: ['circuit'],
  openFor: ['circuit'],
  maxOpenFor: ['circuit'],
  probes: ['circuit'],
  slowCall: ['circuit'],
  slowRate: ['circuit'],
  minRequests: ['circuit', 'adaptive-throttle'],
  window: ['circuit', 'adaptive-throttle'],
  multiplier: ['adaptive-throttle'],
  passEvery: ['adaptive-throttle'],
}

const map = strict({
  kind: z
    .enum(['circuit', 'adaptive-throttle'])
    .default('circuit')
    .describe(
      '`circuit`: closed, open, half-open. `adaptive-throttle`: turns away the share of requests that the service is not able to answer, as in the Google SRE book.',
    ),
  per: z
    .enum(['service', 'endpoint'])
    .default('service')
    .describe('One breaker for all endpoints, or one for each; then requests go to endpoints whose breaker is not open.'),
  errorRate: percentage(1, 100)
    .optional()
    .describe('`circuit`: opens when this share of the requests in the window failed. Left out: 50%.'),
  minRequests: integer(1, 1_000_000)
    .optional()
    .describe('Below this many requests in the window nothing is turned away. Left out: 20; `adaptive-throttle`: 100.'),
  window: positiveDuration.optional().describe('The time over which requests are counted. Left out: 10s; `adaptive-throttle`: 3s.'),
  openFor: positiveDuration.optional().describe('`circuit`: how long it stays open at first; each failed trial doubles it. Left out: 5s.'),
  maxOpenFor: positiveDuration.optional().describe('`circuit`: the longest it stays open. Left out: 30s.'),
  probes: integer(1, 32)
    .optional()
    .describe('`circuit`: requests that are let through to try, over all workers; when all succeed, it closes. Left out: 1.'),
  slowCall: positiveDuration
    .nullable()
    .optional()
    .describe('`circuit`: a request counts as slow when its response head takes longer. Left out or null: none does.'),
  slowRate: percentage(1, 100).optional().describe('`circuit`: opens when this share of the requests was slow. Left out: 100%.'),
  multiplier: z
    .number({ error: MULTIPLIER_EXPECTED })
    .min(1, { error: MULTIPLIER_EXPECTED })
    .max(10, { error: MULTIPLIER_EXPECTED })
    .optional()
    .describe(
      '`adaptive-throttle`: K. So many times the requests that succeed are sent; below a success rate of 1/K some are turned away. Left out: 1.67.',
    ),
  passEvery: duration
    .optional()
    .describe('`adaptive-throttle`: one request passes in each such time, so that a recovery is seen. Left out: 1s; 0: none.'),
  hystrix: hystrix
    .optional()
    .describe(
      'A `circuit` that opens and closes exactly as the one of Hystrix, in the names of Hystrix; instead of all other keys but `per`.',
    ),
})

type Written = z.output<typeof map>

export const breakerSchema = map.transform((o, context): BreakerConfig => {
  const kind: Kind = o.hystrix === undefined ? o.kind : 'hystrix'
  if (o.hystrix !== undefined && o.kind !== 'circuit') {
    context.addIssue({ code: 'custom', message: 'hystrix is a kind of its own; leave out kind', path: ['hystrix'], params: { key: true } })
    return z.NEVER
  }
  for (const [name, kinds] of Object.entries(KINDS_OF)) {
    if (o[name as keyof Written] === undefined || kinds.includes(kind)) continue
    const message =
      kind === 'hystrix' ? `${name} does not go with hystrix` : `${name} is for ${kinds.join(' and ')}; ${kind} does not use it`
    context.addIssue({ code: 'custom', message, path: [name], params: { key: true } })
  }
  if (o.hystrix !== undefined) return toCircuit(o, toHystrix(o.hystrix))
  return o.kind === 'circuit' ? toCircuit(o, CIRCUIT_BREAKER_DEFAULTS) : toThrottle(o)
})

function toHystrix(o: NonNullable<Written['hystrix']>): CircuitBreakerConfig {
  return fromHystrix({
    requestVolumeThreshold: o.requestVolumeThreshold,
    sleepWindowMs: o.sleepWindowInMilliseconds,
    errorThresholdPercentage: o.errorThresholdPercentage,
    rollingWindowMs: o.rollingStatsTimeInMilliseconds,
  })
}

function toCircuit(o: Written, defaults: CircuitBreakerConfig): BreakerConfig {
  const openForMs = o.openFor ?? defaults.openForMs
  return {
    kind: 'circuit',
    per: o.per,
    windowMs: o.window ?? defaults.windowMs,
    minRequests: o.minRequests ?? defaults.minRequests,
    errorRateRatio: o.errorRate ?? defaults.errorRateRatio,
    roundsToPercent: defaults.roundsToPercent ?? false,
    slowCallMs: o.slowCall ?? null,
    slowRateRatio: o.slowRate ?? defaults.slowRateRatio,
    openForMs,
    maxOpenForMs: Math.max(openForMs, o.maxOpenFor ?? defaults.maxOpenForMs),
    probes: o.probes ?? defaults.probes,
    probeTimeoutMs: defaults.probeTimeoutMs,
  }
}

function toThrottle(o: Written): BreakerConfig {
  const { windowMs, k, minRequests, passEveryMs } = ADAPTIVE_THROTTLE_DEFAULTS
  return {
    kind: 'adaptive-throttle',
    per: o.per,
    windowMs: o.window ?? windowMs,
    k: o.multiplier ?? k,
    minRequests: o.minRequests ?? minRequests,
    passEveryMs: o.passEvery ?? passEveryMs,
  }
}
