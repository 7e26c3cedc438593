/** `concurrency` of services and routes, `importance` of routes, and `overload`: how much is taken on, and what is refused first. */
import { z } from 'zod'
import { PRIORITIES } from '../limit/priority.ts'
import { percentage } from './percentage.ts'
import { integer, orNull, positiveDuration, strict } from './schema-kit.ts'
import type { ConcurrencyLimitConfig, OverloadConfig } from './types.ts'

const concurrency = strict({
  max: integer(1, 1_000_000)
    .default(1000)
    .describe('Most requests at the same time, over all workers. An adaptive limit never goes above.'),
  queue: integer(0, 1_000_000)
    .default(100)
    .describe(
      'Requests that may wait for a place, over all workers; divided evenly among them, at least one each. Beyond it: 503, the least important first. 0: none waits.',
    ),
  queueTimeout: positiveDuration.prefault('1s').describe('How long a request may wait for a place. Beyond it: 503.'),
  adaptive: z
    .enum(['gradient', 'bbr'])
    .nullable()
    .default(null)
    .describe(
      '`gradient`: the limit finds itself by how latency changes with load. `bbr`: while the event loop of the worker is late, it takes on only what it has lately shown to get done. null: only `max` counts.',
    ),
  min: integer(1, 1000)
    .optional()
    .describe('`gradient`: the limit never goes below, and while the latency without load is measured it is this. Left out: 3.'),
  eventLoopDelay: positiveDuration.optional().describe('`bbr`: delay of the event loop from which requests are refused. Left out: 50ms.'),
})

const ADAPTIVE_KEYS = { min: 'gradient', eventLoopDelay: 'bbr' } as const
const MIN_LIMIT = 3
const MAX_LOOP_DELAY_MS = 50

function toConcurrency(o: z.output<typeof concurrency>, context: z.core.$RefinementCtx): ConcurrencyLimitConfig {
  for (const [name, kind] of Object.entries(ADAPTIVE_KEYS)) {
    if (o[name as keyof typeof ADAPTIVE_KEYS] === undefined || o.adaptive === kind) continue
    context.addIssue({ code: 'custom', message: `${name} is for adaptive: ${kind}`, path: [name], params: { key: true } })
  }
  const least = o.min ?? Math.min(MIN_LIMIT, o.max)
  if (least > o.max) context.addIssue({ code: 'custom', message: `expected at most max, which is ${o.max}`, path: ['min'] })
  return {
    max: o.max,
    maxQueued: o.queue,
    maxWaitMs: o.queueTimeout,
    adaptive:
      o.adaptive === null
        ? null
        : o.adaptive === 'gradient'
          ? { kind: 'gradient', min: least }
          : { kind: 'bbr', maxLoopDelayMs: o.eventLoopDelay ?? MAX_LOOP_DELAY_MS },
  }
}

export const concurrencySchema = orNull(concurrency.transform(toConcurrency)).default(null)

export const importanceSchema = z.enum(PRIORITIES).default('normal')

export const overloadSchema = orNull(
  strict({
    eventLoopDelay: positiveDuration
      .nullable()
      .prefault('200ms')
      .describe('Delay of the event loop of a worker from which `normal` requests are refused; null: it does not count.'),
    memory: percentage(1, 99)
      .nullable()
      .prefault('90%')
      .describe(
        'Share of the memory (of the machine, or the limit of the container) that the process uses from which `normal` requests are refused; null: it does not count.',
      ),
  }).transform((o): OverloadConfig => ({ loopDelayMs: o.eventLoopDelay, memoryRatio: o.memory })),
).default(null)
