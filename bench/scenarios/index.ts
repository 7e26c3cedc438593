import type { Scenario } from '../types.ts'
import { grpcStream, grpcUnary } from './grpc.ts'
import { http2ToHttp1 } from './http2.ts'
import { large } from './large.ts'
import { memory } from './memory.ts'
import { resilient } from './resilient.ts'
import { routes } from './routes.ts'
import { small } from './small.ts'
import { tcpLarge, tcpRedis, tcpRedisPipelined } from './tcp.ts'
import { tlsHandshakeNew, tlsHandshakeResumed, tlsKeepAlive } from './tls.ts'
import { websocket, websocketMemory } from './websocket.ts'

/** Every scenario, in the order of the report. */
export const SCENARIOS: readonly Scenario[] = [
  small,
  large,
  memory,
  routes,
  resilient,
  http2ToHttp1,
  grpcUnary,
  grpcStream,
  tlsKeepAlive,
  tlsHandshakeNew,
  tlsHandshakeResumed,
  tcpRedis,
  tcpRedisPipelined,
  tcpLarge,
  websocket,
  websocketMemory,
]

/** The scenario of that name. Throws, naming the known ones, when there is none. */
export function scenarioNamed(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name)
  if (found === undefined) throw new RangeError(`unknown scenario "${name}"; known: ${SCENARIOS.map((s) => s.name).join(', ')}`)
  return found
}
