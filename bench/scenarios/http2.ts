import { h2load } from '../generators/h2load.ts'
import { BODY_BYTES } from '../harness/upstream.ts'
import type { LoadScenario } from '../types.ts'

/** HTTP/2 without TLS in front of HTTP/1.1 services: 160 requests at a time on 16 connections. */
export const http2ToHttp1: LoadScenario = {
  kind: 'load',
  name: 'h2-h1',
  title: 'HTTP/2 (cleartext) to HTTP/1.1, 66-byte responses, 16 connections with 10 streams each, 10 routes',
  setup: { downstream: 'http2', upstream: 'http1', routes: 10 },
  upstream: 'small',
  generator: h2load({ connections: 16, streamsPerConnection: 10, file: 'x', body: null, headers: [], responseBytes: BODY_BYTES.small }),
  unit: 'requests',
  compare: { with: ['nginx', 'haproxy'] },
  goals: [{ against: 'nginx', mustReach: 1, aim: 1.6 }],
}
