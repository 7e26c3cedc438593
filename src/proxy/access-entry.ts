import { ERROR_KINDS } from '../base/error.ts'
import { GRPC_STATUS_NAMES } from '../codec/grpc/status.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { AccessEntry } from '../observe/access-log.ts'

/** An exchange as the access log reads it. One object serves every line: it is set, formatted, and forgotten. */
export class ExchangeEntry implements AccessEntry {
  #x: Exchange | null = null
  timeMs = 0
  durationMs = 0
  status = 0

  set(x: Exchange, wallMs: number, durationMs: number, status: number): this {
    this.#x = x
    this.timeMs = wallMs - durationMs
    this.durationMs = durationMs
    this.status = status
    return this
  }

  get #exchange(): Exchange {
    return this.#x as Exchange
  }

  get listener(): string {
    return this.#exchange.listener.name
  }

  get route(): string {
    return this.#exchange.route?.name ?? ''
  }

  get service(): string {
    return this.#exchange.service?.service.name ?? ''
  }

  get endpoint(): string {
    return this.#exchange.attempt?.endpoint.address ?? ''
  }

  get clientIp(): string {
    return this.#exchange.clientIp
  }

  get method(): string {
    return this.#exchange.method
  }

  get host(): string {
    return this.#exchange.host
  }

  get path(): string {
    return this.#exchange.path
  }

  get query(): string {
    return this.#exchange.query
  }

  get protocol(): string {
    const { major, minor } = this.#exchange.request
    if (major === 2) return 'HTTP/2.0'
    return minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0'
  }

  get requestBytes(): number {
    return this.#exchange.requestBytes
  }

  get responseBytes(): number {
    return this.#exchange.responseBytes
  }

  get upstreamDurationMs(): number {
    return this.#exchange.upstreamMs
  }

  get attempts(): number {
    return this.#exchange.attempts
  }

  get requestId(): string {
    return this.#exchange.requestId
  }

  get userAgent(): string {
    return this.#exchange.request.headers.get('user-agent') ?? ''
  }

  get referer(): string {
    return this.#exchange.request.headers.get('referer') ?? ''
  }

  get errorCode(): string {
    return this.#exchange.errorCode ?? ''
  }

  get grpcStatus(): string {
    const { grpc } = this.#exchange
    return grpc === null ? '' : (GRPC_STATUS_NAMES[grpc.status] as string)
  }

  get flags(): string {
    const { errorCode, fallbackCause } = this.#exchange
    const flag = errorCode === null ? '' : ERROR_KINDS[errorCode].flag
    if (fallbackCause === null) return flag
    return flag === '' ? 'FB' : `${flag},FB`
  }
}
