import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { request as requestSecurely } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { HealthCheckConfig, StatusRange } from '../../config/types.ts'
import { abandon } from './abandon.ts'
import { PASSED, type ProbeOutcome, type ProbeTarget, type RunningProbe } from './probe.ts'
import { failureOf } from './probe-error.ts'

/** The body is looked at no further. */
export const MAX_BODY_BYTES = 64 * 1024
const MAX_HEAD_BYTES = 32 * 1024

type HttpCheck = Extract<HealthCheckConfig, { kind: 'http' }>

/**
 * One request on a connection of its own. Passes when the response has an expected status, is complete (or longer than the part
 * that is looked at) and its body matches. Redirects are answers like any other.
 */
export function startHttpProbe(target: ProbeTarget, check: HttpCheck, done: (outcome: ProbeOutcome) => void): RunningProbe {
  return new HttpProbe(target, check, done)
}

class HttpProbe implements RunningProbe {
  stage = 'connecting'
  readonly #check: HttpCheck
  readonly #request: ClientRequest
  readonly #chunks: Buffer[] = []
  #bytes = 0
  /** null when the probe is over. */
  #done: ((outcome: ProbeOutcome) => void) | null

  constructor({ host, port, hostHeader, tls, preface }: ProbeTarget, check: HttpCheck, done: (outcome: ProbeOutcome) => void) {
    this.#check = check
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
    const status = response.statusCode ?? 0
    if (!isExpected(status, this.#check.statuses)) {
      this.#finish({ result: 'fail', error: `status ${status}; expected ${formatStatuses(this.#check.statuses)}` })
      return
    }
    this.stage = 'reading the response'
    response.on('data', (chunk: Buffer) => this.#onData(chunk))
    response.on('end', () => this.#finish(this.#judgeBody()))
    response.on('error', () => this.#finish({ result: 'fail', error: 'the connection was closed inside the response' }))
  }

  #onData(chunk: Buffer): void {
    if (this.#check.match !== null) this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes >= MAX_BODY_BYTES) this.#finish(this.#judgeBody())
  }

  #judgeBody(): ProbeOutcome {
    const { match } = this.#check
    if (match === null) return PASSED
    const body = Buffer.concat(this.#chunks).toString('utf8', 0, MAX_BODY_BYTES)
    if (match.test === 'contains' ? body.includes(match.text) : new RegExp(match.pattern).test(body)) return PASSED
    // What was looked for is in the configuration; what was found may be long, and a secret.
    const wanted = match.test === 'contains' ? JSON.stringify(match.text) : `match of ${match.pattern}`
    const where = this.#bytes >= MAX_BODY_BYTES ? 'the first 64 KiB of the body have' : 'the body has'
    return { result: 'fail', error: `${where} no ${wanted}` }
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

function isExpected(status: number, ranges: readonly StatusRange[]): boolean {
  return ranges.some(({ from, to }) => status >= from && status <= to)
}

function formatStatuses(ranges: readonly StatusRange[]): string {
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(', ')
}
