import type { ConnectionOptions } from 'node:tls'
import type { ServiceTlsConfig } from '../../config/tls-types.ts'
import type { HealthConfig } from '../../config/types.ts'

/** One endpoint to be checked, complete. */
export interface ProbeTarget {
  readonly service: string
  readonly address: string
  readonly host: string
  /** The port of the check, which may be another than that of the endpoint. */
  readonly port: number
  /** `Host` of a check by HTTP. */
  readonly hostHeader: string
  readonly health: HealthConfig
  /** What a connection begins with: the PROXY header of a service that expects one. Left out: nothing. */
  readonly preface?: Buffer
  /** A check by HTTP is made over HTTP/2. Left out: over HTTP/1.1. */
  readonly isHttp2?: boolean
  /** Left out: without TLS. */
  readonly tls?: ProbeTls
}

/** TLS of a check: that of the service. */
export interface ProbeTls {
  /** Tells whether anything has changed. */
  readonly config: ServiceTlsConfig
  readonly options: ConnectionOptions
}

/** `inconclusive`: the check failed on our side (no descriptor, no port, no resolver) and says nothing about the endpoint. */
export type ProbeOutcome = { readonly result: 'pass' } | { readonly result: 'fail' | 'inconclusive'; readonly error: string }

export const PASSED: ProbeOutcome = { result: 'pass' }

/** A check that is under way. */
export interface RunningProbe {
  /** What it waits for, as in "while connecting". */
  readonly stage: string
  /** Frees everything at once; `done` is not called any more. */
  cancel(): void
}

/** Starts one check; calls `done` once, later. It never ends by itself when nothing happens: the caller keeps the time. */
export type StartProbe = (target: ProbeTarget, done: (outcome: ProbeOutcome) => void) => RunningProbe
