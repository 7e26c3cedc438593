import { own } from '../generators/own.ts'
import type { LoadScenario, MemoryScenario } from '../types.ts'

const ROUTES = 10
const setup = { downstream: 'websocket', upstream: 'websocket', routes: ROUTES } as const
const compare = { with: ['nginx', 'haproxy'] } as const

/** Small messages to and fro on many WebSockets, one under way on each. */
export const websocket: LoadScenario = {
  kind: 'load',
  name: 'websocket',
  title: 'WebSocket messages of 32 bytes and their echoes, 64 connections, one message under way on each',
  setup,
  upstream: 'echo',
  generator: own('websocket.ts', 64, ROUTES),
  unit: 'round trips',
  compare,
  goals: [],
}

/** What one more idle WebSocket costs in resident memory, both of its connections together, each having carried one message. */
export const websocketMemory: MemoryScenario = {
  kind: 'memory',
  name: 'websocket-memory',
  title: 'Resident memory per idle WebSocket (both legs), 4,000 WebSockets',
  setup,
  upstream: 'echo',
  idleConnections: 4000,
  settleSeconds: 4,
  websocket: true,
  most: { mustReach: 20_000, aim: 12_000 },
  compare,
  goals: [],
}
