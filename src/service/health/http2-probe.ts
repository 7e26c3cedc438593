import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import type { Socket } from 'node:net'
import { abandon } from './abandon.ts'
import { HttpAnswer, type HttpCheck } from './http-answer.ts'
import { failureOfHttp2, openProbeSession } from './http2-session.ts'
import type { ProbeOutcome, ProbeTarget, RunningProbe } from './probe.ts'

/** The check of http-probe.ts for endpoints that speak HTTP/2: one request on a connection of its own, judged the same way. */
export function startHttp2Probe(target: ProbeTarget, check: HttpCheck, done: (outcome: ProbeOutcome) => void): RunningProbe {
  return new Http2Probe(target, check, done)
}

class Http2Probe implements RunningProbe {
  stage = 'connecting'
  readonly #answer: HttpAnswer
  readonly #socket: Socket
  readonly #session: ClientHttp2Session
  #hasHead = false
  /** null when the probe is over. */
  #done: ((outcome: ProbeOutcome) => void) | null

  constructor(target: ProbeTarget, check: HttpCheck, done: (outcome: ProbeOutcome) => void) {
    this.#answer = new HttpAnswer(check)
    this.#done = done
    const { socket, session, scheme } = openProbeSession(target, {
      onStage: (stage) => (this.stage = stage),
      onFailure: (outcome) => this.#finish(this.#hasHead && outcome.result === 'fail' ? CUT : outcome),
    })
    this.#socket = socket
    this.#session = session
    const stream = session.request({
      ':method': check.method,
      ':scheme': scheme,
      ':authority': target.hostHeader,
      ':path': check.path,
      'user-agent': 'sluice-health-check',
      accept: '*/*',
    })
    stream.on('response', (head) => this.#onHead(head[':status'] ?? 0, stream))
    stream.on('error', (error) => this.#finish(this.#hasHead ? CUT : failureOfHttp2(error)))
    stream.on('aborted', () => this.#finish(this.#hasHead ? CUT : { result: 'fail', error: 'the stream was reset without an answer' }))
    stream.on('close', () => this.#finish({ result: 'fail', error: 'the stream was closed without an answer' }))
    stream.end()
  }

  cancel(): void {
    this.#done = null
    abandon(this.#socket)
    this.#session.destroy()
  }

  #onHead(status: number, stream: ClientHttp2Stream): void {
    const outcome = this.#answer.readStatus(status)
    if (outcome !== null) return this.#finish(outcome)
    this.stage = 'reading the response'
    this.#hasHead = true
    stream.on('data', (piece: Buffer) => {
      if (this.#answer.readBody(piece)) this.#finish(this.#answer.judge())
    })
    // Node.js ends what it has to break off too.
    stream.on('end', () => this.#finish(stream.rstCode === constants.NGHTTP2_NO_ERROR ? this.#answer.judge() : CUT))
  }

  #finish(outcome: ProbeOutcome): void {
    const done = this.#done
    if (done === null) return
    this.#done = null
    this.#session.destroy()
    this.#socket.destroy()
    done(outcome)
  }
}

const CUT: ProbeOutcome = { result: 'fail', error: 'the connection was closed inside the response' }
