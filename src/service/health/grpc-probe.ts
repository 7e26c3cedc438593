import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import type { Socket } from 'node:net'
import { isGrpcContentType } from '../../codec/grpc/fields.ts'
import { decodeGrpcMessage } from '../../codec/grpc/message-text.ts'
import { GRPC_OK, GRPC_STATUS_NAMES, NO_GRPC_STATUS, parseGrpcStatus } from '../../codec/grpc/status.ts'
import type { HealthCheckConfig } from '../../config/types.ts'
import { abandon } from './abandon.ts'
import { encodeHealthRequest, HEALTH_STATUS_NAMES, readHealthStatus, SERVING } from './grpc-health.ts'
import { failureOfHttp2, openProbeSession } from './http2-session.ts'
import { PASSED, type ProbeOutcome, type ProbeTarget, type RunningProbe } from './probe.ts'

type GrpcCheck = Extract<HealthCheckConfig, { kind: 'grpc' }>

/** An answer has a few bytes. */
const MAX_ANSWER_BYTES = 4096
const MAX_REASON = 200
const PATH = '/grpc.health.v1.Health/Check'

/** One call of `grpc.health.v1.Health/Check` on a connection of its own. Passes when the answer is SERVING. */
export function startGrpcProbe(target: ProbeTarget, check: GrpcCheck, done: (outcome: ProbeOutcome) => void): RunningProbe {
  return new GrpcProbe(target, check, done)
}

class GrpcProbe implements RunningProbe {
  stage = 'connecting'
  readonly #check: GrpcCheck
  readonly #socket: Socket
  readonly #session: ClientHttp2Session
  #status = NO_GRPC_STATUS
  #reason = ''
  #refusal = ''
  readonly #pieces: Buffer[] = []
  #bytes = 0
  /** null when the probe is over. */
  #done: ((outcome: ProbeOutcome) => void) | null

  constructor(target: ProbeTarget, check: GrpcCheck, done: (outcome: ProbeOutcome) => void) {
    this.#check = check
    this.#done = done
    const { socket, session, scheme } = openProbeSession(target, {
      onStage: (stage) => (this.stage = stage),
      onFailure: (outcome) => this.#finish(outcome),
    })
    this.#socket = socket
    this.#session = session
    this.#ask(scheme, target.hostHeader)
  }

  #ask(scheme: string, authority: string): void {
    const stream = this.#session.request({
      ':method': 'POST',
      ':scheme': scheme,
      ':authority': authority,
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'sluice-health-check',
    })
    stream.on('response', (head) => this.#onHead(head))
    stream.on('trailers', (trailers) => this.#readStatus(trailers))
    stream.on('data', (piece: Buffer) => this.#onData(piece, stream))
    stream.on('error', (error) => this.#finish(failureOfHttp2(error)))
    stream.on('close', () => this.#finish(this.#judge()))
    stream.end(encodeHealthRequest(this.#check.service))
  }

  #onHead(head: IncomingHttpHeaders & { ':status'?: number | undefined }): void {
    if (head[':status'] !== 200) this.#refusal = `status ${head[':status']} and not gRPC`
    else if (!isGrpcContentType(head['content-type'])) this.#refusal = 'the answer is not gRPC'
    this.#readStatus(head)
  }

  #readStatus(fields: IncomingHttpHeaders): void {
    const status = parseGrpcStatus(fields['grpc-status'] as string | undefined)
    if (status === NO_GRPC_STATUS) return
    this.#status = status
    this.#reason = decodeGrpcMessage(String(fields['grpc-message'] ?? '')).slice(0, MAX_REASON)
  }

  #onData(piece: Buffer, stream: ClientHttp2Stream): void {
    this.#bytes += piece.length
    if (this.#bytes <= MAX_ANSWER_BYTES) this.#pieces.push(piece)
    else stream.close()
  }

  #judge(): ProbeOutcome {
    if (this.#refusal !== '') return { result: 'fail', error: this.#refusal }
    if (this.#status === NO_GRPC_STATUS) return { result: 'fail', error: 'the call ended without a status' }
    if (this.#status !== GRPC_OK) {
      const reason = this.#reason === '' ? '' : `: ${this.#reason}`
      return { result: 'fail', error: `grpc-status ${GRPC_STATUS_NAMES[this.#status]}${reason}` }
    }
    const health = readHealthStatus(Buffer.concat(this.#pieces))
    if (health === SERVING) return PASSED
    if (health < 0) return { result: 'fail', error: 'the answer is not a HealthCheckResponse' }
    return { result: 'fail', error: `${HEALTH_STATUS_NAMES[health] ?? health}; expected SERVING` }
  }

  cancel(): void {
    this.#done = null
    abandon(this.#socket)
    this.#session.destroy()
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
