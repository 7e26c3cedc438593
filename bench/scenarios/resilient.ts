import { wrk } from '../generators/wrk.ts'
import type { LoadScenario } from '../types.ts'

/** What resilience costs while everything is well: all of it configured, against the defaults, in the small scenario. */
export const resilient: LoadScenario = {
  kind: 'load',
  name: 'resilient',
  title: 'HTTP/1.1 keep-alive, 66-byte responses, 64 connections, all of resilience configured against the defaults',
  setup: { downstream: 'http1', upstream: 'http1', routes: 10, resilience: 'all' },
  upstream: 'small',
  generator: wrk(64),
  unit: 'requests',
  compare: { itself: { downstream: 'http1', upstream: 'http1', routes: 10 }, labels: ['everything configured', 'defaults'] },
  goals: [{ against: 'itself', mustReach: 0.92, aim: 1 }],
}
