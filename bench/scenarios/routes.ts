import { wrk } from '../generators/wrk.ts'
import type { LoadScenario } from '../types.ts'

/** Does a large table cost anything? The same program with 10,000 and with 10 routes, requests spread over all of them. */
export const routes: LoadScenario = {
  kind: 'load',
  name: 'routes',
  title: 'HTTP/1.1 keep-alive, 66-byte responses, 64 connections, 10,000 routes against 10',
  setup: { downstream: 'http1', upstream: 'http1', routes: 10_000 },
  upstream: 'small',
  generator: wrk(64),
  unit: 'requests',
  compare: { itself: { downstream: 'http1', upstream: 'http1', routes: 10 }, labels: ['10,000 routes', '10 routes'] },
  goals: [{ against: 'itself', mustReach: 0.9, aim: 1 }],
}
