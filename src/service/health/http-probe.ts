import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { request as requestSecurely } from 'node:https'
import { connect, type Socket } from 'node:net'
import { abandon } from './abandon.ts'
import { HttpAnswer, type HttpCheck } from './http-answer.ts'
import type { ProbeOutcome, ProbeTarget, RunningProbe } from './probe.ts'
import { failureOf } from './probe-error.ts'

const MAX_HEAD_BYTES = 32 * 1024

/**
 * One request on a connection of its own. Passes when the response has an expected status, is complete (or longer than the part
 * that is looked at) and its body matches. Redirects are answers like any other.
 */
export function startHttpProbe(target: ProbeTarget, check: HttpCheck, done: (outcome: ProbeOutcome) => void): RunningProbe {
  return new HttpProbe(target, check, done)
}

class HttpProbe implements RunningProbe {
  stage = 'connecting'
  readonly #answer: HttpAnswer
  readonly #request: ClientRequest
  /** null when the probe is over. */
  #done: ((outcome: ProbeOutcome) => void) | null

  constructor({ host, port, hostHeader, tls, preface }: ProbeTarget, check: HttpCheck, done: (outcome: ProbeOutcome) => void) {
    this.#answer = new HttpAnswer(check)
    this.#done = done
    this.#request = (tls === undefined ? request : requestSecurely)({
      ...tls?.options,
      ...(tls === undefined ? {} : { ALPNProtocols: ['http/1.1'] }),
      host,
      port,
      method: check.method,
      path: check.path,
      // Only without an agent does Node.js let somebody else connect.
      ...(preface === undefined ? { agent: false } : { createConnection: () => connectWith(preface, host, port) }),
      setHost: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      headers: { Host: hostHeader, 'User-Agent': 'sluice-health-check', Accept: '*/*', Connection: 'close' },
    })
    this.#request.on('socket', (socket) => {
      socket.once('connect', () => {
        this.stage = tls === undefined ? 'waiting for the response' : 'in the TLS handshake'
      })
      socket.once('secureConnect', () => {
        this.stage = 'waiting for the response'
      })
    })
    this.#request.on('response', (response) => this.#onResponse(response))
    this.#request.on('upgrade', (_, socket) => {
      socket.destroy()
      this.#finish({ result: 'fail', error: 'status 101; the answer switches to another protocol' })
    })
    this.#request.on('error', (error) => this.#finish(failureOf(error)))
    this.#request.end()
  }

  cancel(): void {
    this.#done = null
    if (this.#request.socket !== null) abandon(this.#request.socket)
    this.#request.destroy()
  }

  #onResponse(response: IncomingMessage): void {
    const outcome = this.#answer.readStatus(response.statusCode ?? 0)
    if (outcome !== null) return this.#finish(outcome)
    this.stage = 'reading the response'
    response.on('data', (piece: Buffer) => {
      if (this.#answer.readBody(piece)) this.#finish(this.#answer.judge())
    })
    response.on('end', () => this.#finish(this.#answer.judge()))
    response.on('error', () => this.#finish({ result: 'fail', error: 'the connection was closed inside the response' }))
  }

  #finish(outcome: ProbeOutcome): void {
    const done = this.#done
    if (done === null) return
    this.#done = null
    this.#request.destroy()
    done(outcome)
  }
}

/** A connection that begins with these bytes. */
function connectWith(preface: Buffer, host: string, port: number): Socket {
  const socket = connect({ host, port })
  socket.write(preface)
  return socket
}
