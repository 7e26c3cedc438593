import { wrk } from '../generators/wrk.ts'
import type { LoadScenario } from '../types.ts'

/** The everyday request: keep-alive, a 66-byte response, ten routes, X-Forwarded-For added, metrics counted, no access log. */
export const small: LoadScenario = {
  kind: 'load',
  name: 'small',
  title: 'HTTP/1.1 keep-alive, 66-byte responses, 64 connections, 10 routes',
  setup: { downstream: 'http1', upstream: 'http1', routes: 10 },
  upstream: 'small',
  generator: wrk(64),
  unit: 'requests',
  compare: { with: ['nginx', 'haproxy', 'caddy', 'http-proxy-3', 'fastify-http-proxy'] },
  goals: [
    { against: 'nginx', mustReach: 0.75, aim: 1 },
    { against: 'haproxy', mustReach: 0.75, aim: 1 },
    { against: 'caddy', mustReach: 2.5, aim: 4 },
    { against: 'http-proxy-3', mustReach: 2.5, aim: 4 },
    { against: 'fastify-http-proxy', mustReach: 2.5, aim: 4 },
  ],
}
