import { wrk } from '../generators/wrk.ts'
import type { LoadScenario } from '../types.ts'

/** Bulk transfer: how cheaply a body is moved through. */
export const large: LoadScenario = {
  kind: 'load',
  name: 'large',
  title: 'HTTP/1.1 keep-alive, 1 MiB responses, 16 connections, 10 routes',
  setup: { downstream: 'http1', upstream: 'http1', routes: 10 },
  upstream: 'large',
  generator: wrk(16),
  unit: 'requests',
  compare: { with: ['haproxy', 'nginx'] },
  goals: [{ against: 'haproxy', mustReach: 1, aim: 1.3 }],
}
