/** `services.<name>.ejection`: endpoints that fail, or are worse than the others, get no requests for a while. */
import { z } from 'zod'
import { percentage } from './percentage.ts'
import type { EjectionConfig } from './resilience-types.ts'
import { integer, positiveDuration, strict } from './schema-kit.ts'

const FACTOR_EXPECTED = 'expected a number from 1.5 to 100, or null for off'

export const ejectionSchema = strict({
  maxFails: integer(0, 1_000_000)
    .default(3)
    .describe(
      'Failures within `failTimeout` that put an endpoint aside; 5xx responses are none of them, unless they are retried. 0: none do.',
    ),
  failTimeout: positiveDuration
    .prefault('10s')
    .describe('The time in which failures are counted, and how long the endpoint is put aside; then one request tries it.'),
  errorRate: percentage(1, 100)
    .nullable()
    .prefault(null)
    .describe(
      'Ejects an endpoint when this share of its requests failed or got a 5xx, and the other endpoints have less than half of that; 50% is a good value. null: off.',
    ),
  latencyFactor: z
    .number({ error: FACTOR_EXPECTED })
    .min(1.5, { error: FACTOR_EXPECTED })
    .max(100, { error: FACTOR_EXPECTED })
    .nullable()
    .default(null)
    .describe(
      'Ejects an endpoint whose mean time to the response head is more than this many times that of the others; 3 is a good value. null: off.',
    ),
  minLatency: positiveDuration.prefault('50ms').describe('A mean up to this is never too slow.'),
  interval: positiveDuration.prefault('10s').describe('How often endpoints are compared, by the requests since the last time.'),
  minRequests: integer(1, 1_000_000)
    .default(100)
    .describe('Requests that an endpoint needs within `interval` to be compared, over all workers.'),
  minEndpoints: integer(2, 1000).default(2).describe('Endpoints with so many requests that are needed for a comparison.'),
  ejectionTime: positiveDuration
    .prefault('30s')
    .describe('How long an endpoint that is worse than the others is ejected; each further time in a row takes this much longer.'),
  maxEjectionTime: positiveDuration.prefault('5m').describe('The longest ejection.'),
  maxEjected: percentage(0, 100)
    .prefault('50%')
    .describe(
      'Endpoints are ejected by comparison while no more than this share of them is out of use. One always may be, where there are two; never all.',
    ),
}).transform(
  (o): EjectionConfig => ({
    maxFails: o.maxFails,
    failTimeoutMs: o.failTimeout,
    outliers:
      o.errorRate === null && o.latencyFactor === null
        ? null
        : {
            intervalMs: o.interval,
            errorRateRatio: o.errorRate,
            latencyFactor: o.latencyFactor,
            minLatencyMs: o.minLatency,
            minRequests: o.minRequests,
            minEndpoints: o.minEndpoints,
            ejectionMs: o.ejectionTime,
            maxEjectionMs: Math.max(o.ejectionTime, o.maxEjectionTime),
            maxEjectedRatio: o.maxEjected,
          },
  }),
)
