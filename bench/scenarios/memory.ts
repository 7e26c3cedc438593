import type { MemoryScenario } from '../types.ts'

/** What one more idle keep-alive connection costs in resident memory, each having carried one request. */
export const memory: MemoryScenario = {
  kind: 'memory',
  name: 'memory',
  title: 'Resident memory per idle HTTP/1.1 keep-alive connection, 5,000 connections',
  setup: { downstream: 'http1', upstream: 'http1', routes: 10 },
  upstream: 'small',
  idleConnections: 5000,
  settleSeconds: 4,
  compare: { with: ['caddy', 'http-proxy-3', 'nginx', 'haproxy'] },
  goals: [
    { against: 'caddy', mustReach: 0.5, aim: null },
    { against: 'http-proxy-3', mustReach: 0.667, aim: null },
  ],
}
