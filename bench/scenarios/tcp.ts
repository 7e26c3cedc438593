import { redisBenchmark } from '../generators/redis-benchmark.ts'
import { wrk } from '../generators/wrk.ts'
import type { LoadScenario } from '../types.ts'

const setup = { downstream: 'tcp', upstream: 'tcp', routes: 1 } as const
const compare = { with: ['haproxy', 'nginx'] } as const
const goals = [{ against: 'haproxy', mustReach: 0.9, aim: 1.2 }] as const

/** Redis through a TCP relay, one command under way on each connection. */
export const tcpRedis: LoadScenario = {
  kind: 'load',
  name: 'tcp-redis',
  title: 'TCP relay: redis-benchmark, SET and GET of 64 bytes, 50 connections',
  setup,
  upstream: 'redis',
  generator: redisBenchmark(50, 1),
  unit: 'commands',
  compare,
  goals,
}

/** The same with 16 commands under way on each connection. */
export const tcpRedisPipelined: LoadScenario = {
  ...tcpRedis,
  name: 'tcp-redis-pipelined',
  title: 'TCP relay: redis-benchmark, SET and GET of 64 bytes, 50 connections, 16 commands at a time on each',
  generator: redisBenchmark(50, 16),
}

/** Bulk transfer through a TCP relay. */
export const tcpLarge: LoadScenario = {
  kind: 'load',
  name: 'tcp-large',
  title: 'TCP relay: responses of 1 MiB, 16 connections',
  setup,
  upstream: 'large',
  generator: wrk(16),
  unit: 'MiB',
  compare,
  goals,
}
