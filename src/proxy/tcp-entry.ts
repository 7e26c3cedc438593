import { ERROR_KINDS, type ErrorCode } from '../base/error.ts'
import type { AccessEntry } from '../observe/access-log.ts'

export interface TcpFacts {
  /** Default TCP. */
  protocol?: 'TCP' | 'UDP'
  listener: string
  service: string
  endpoint: string
  clientIp: string
  /** The name the TLS greeting asked for, or ''. */
  serverName: string
  receivedBytes: number
  sentBytes: number
  /** Now. */
  wallMs: number
  durationMs: number
  /** Since the connection to the endpoint stood; -1: it never did. */
  upstreamMs: number
  attempts: number
  error: ErrorCode | null
}

const OK = 200

/** A TCP connection as the access log reads it: one line when it has ended. */
export class TcpEntry implements AccessEntry {
  readonly timeMs: number
  readonly listener: string
  readonly service: string
  readonly endpoint: string
  readonly clientIp: string
  readonly host: string
  readonly status: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly durationMs: number
  readonly upstreamDurationMs: number
  readonly attempts: number
  readonly errorCode: string
  readonly flags: string
  readonly protocol: string
  readonly route = ''
  readonly method = ''
  readonly path = ''
  readonly query = ''
  readonly requestId = ''
  readonly userAgent = ''
  readonly referer = ''

  constructor(facts: TcpFacts) {
    this.timeMs = facts.wallMs - facts.durationMs
    this.protocol = facts.protocol ?? 'TCP'
    this.listener = facts.listener
    this.service = facts.service
    this.endpoint = facts.endpoint
    this.clientIp = facts.clientIp
    this.host = facts.serverName
    this.status = facts.error === null ? OK : ERROR_KINDS[facts.error].http
    this.requestBytes = facts.receivedBytes
    this.responseBytes = facts.sentBytes
    this.durationMs = facts.durationMs
    this.upstreamDurationMs = facts.upstreamMs
    this.attempts = facts.attempts
    this.errorCode = facts.error ?? ''
    this.flags = facts.error === null ? '' : ERROR_KINDS[facts.error].flag
  }
}
