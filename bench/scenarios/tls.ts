import { own } from '../generators/own.ts'
import { wrk } from '../generators/wrk.ts'
import type { LoadScenario } from '../types.ts'

const setup = { downstream: 'https', upstream: 'http1', routes: 10 } as const
const compare = { with: ['nginx', 'haproxy'] } as const

/** The small scenario over TLS 1.3: certificate with a P-256 key, TLS_AES_128_GCM_SHA256. */
export const tlsKeepAlive: LoadScenario = {
  kind: 'load',
  name: 'tls-keepalive',
  title: 'HTTP/1.1 keep-alive over TLS 1.3 (P-256), 66-byte responses, 64 connections, 10 routes',
  setup,
  upstream: 'small',
  generator: wrk(64, 'https'),
  unit: 'requests',
  compare,
  goals: [{ against: 'nginx', mustReach: 0.65, aim: 0.8 }],
}

/** Clients that come for one request and have never been here. */
export const tlsHandshakeNew: LoadScenario = {
  kind: 'load',
  name: 'tls-handshake-new',
  title: 'TLS 1.3 handshakes (P-256), one request on each connection, 8 at a time',
  setup,
  upstream: 'small',
  generator: own('tls-handshakes.ts', 8, 'new'),
  unit: 'handshakes',
  compare,
  goals: [],
}

/** The same for clients that come back with a session ticket. */
export const tlsHandshakeResumed: LoadScenario = {
  ...tlsHandshakeNew,
  name: 'tls-handshake-resumed',
  title: 'TLS 1.3 handshakes that resume a session, one request on each connection, 8 at a time',
  generator: own('tls-handshakes.ts', 8, 'resumed'),
}
