import type { Competitor } from '../types.ts'
import { caddy } from './caddy.ts'
import { fastifyHttpProxy } from './fastify-http-proxy.ts'
import { haproxy } from './haproxy.ts'
import { httpProxy3 } from './http-proxy-3.ts'
import { nginx } from './nginx.ts'
import { sluice } from './sluice.ts'

/** Every program that can be measured, in the order of the tables. */
export const COMPETITORS: readonly Competitor[] = [sluice(), nginx, haproxy, caddy, httpProxy3, fastifyHttpProxy]

/** The competitor of that name. Throws, naming the known ones, when there is none. */
export function competitorNamed(name: string): Competitor {
  const found = COMPETITORS.find((competitor) => competitor.name === name)
  if (found === undefined) throw new RangeError(`unknown program "${name}"; known: ${COMPETITORS.map((c) => c.name).join(', ')}`)
  return found
}
