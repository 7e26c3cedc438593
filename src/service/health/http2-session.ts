import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectPlainly, type Socket } from 'node:net'
import { connect as connectSecurely, type TLSSocket } from 'node:tls'
import type { ProbeOutcome, ProbeTarget } from './probe.ts'
import { failureOf } from './probe-error.ts'

/** What a check over HTTP/2 hears of its connection. */
export interface ProbeSessionEvents {
  onStage(stage: string): void
  /** May come more than once, and after the end of the check. */
  onFailure(outcome: ProbeOutcome): void
}

export interface ProbeSession {
  readonly socket: Socket
  readonly session: ClientHttp2Session
  readonly scheme: 'http' | 'https'
}

const WAITING = 'waiting for the response'

/** An HTTP/2 connection for one check: prior knowledge, or with TLS what ALPN agrees on. */
export function openProbeSession(
  { host, port, hostHeader, tls, preface }: ProbeTarget,
  { onStage, onFailure }: ProbeSessionEvents,
): ProbeSession {
  const socket = tls === undefined ? connectPlainly({ host, port }) : connectSecurely({ host, port, ...tls.options, ALPNProtocols: ['h2'] })
  if (preface !== undefined) socket.write(preface)
  socket.on('error', (error) => onFailure(failureOf(error)))
  socket.once('connect', () => onStage(tls === undefined ? WAITING : 'in the TLS handshake'))
  socket.once('secureConnect', () => {
    if ((socket as TLSSocket).alpnProtocol === 'h2') onStage(WAITING)
    else onFailure({ result: 'fail', error: 'the endpoint did not choose HTTP/2 (ALPN h2)' })
  })
  const scheme = tls === undefined ? 'http' : 'https'
  const session = connect(`${scheme}://${hostHeader}`, { createConnection: () => socket })
  session.on('error', (error: NodeJS.ErrnoException) => onFailure(failureOfHttp2(error)))
  session.on('close', () => onFailure({ result: 'fail', error: 'the connection was closed without an answer' }))
  return { socket, session, scheme }
}

/** The outcome of a check whose connection or stream failed. */
export function failureOfHttp2(error: NodeJS.ErrnoException): ProbeOutcome {
  // What came is no HTTP/2 at all; a stream that was reset is another error.
  if (error.code === 'ERR_HTTP2_ERROR') return { result: 'fail', error: 'the answer is not valid HTTP/2' }
  return failureOf(error)
}
