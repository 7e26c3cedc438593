import type { Clock } from '../base/clock.ts'
import type { GatewayConfig } from '../config/types.ts'
import { createGauge } from '../observe/handles.ts'
import type { Log } from '../observe/log.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { METRICS } from '../observe/names.ts'

const DAY_MS = 86_400_000
/** From here on it is said, at each start and reload and once a day. */
const WARN_MS = 14 * DAY_MS

export interface CertificateWatchOptions {
  readonly clock: Clock
  readonly registry: MetricsRegistry
  readonly log: Log
  /** setInterval. */
  readonly schedule: (callback: () => void, intervalMs: number) => NodeJS.Timeout
}

interface Certificate {
  readonly listener: string
  readonly name: string
  readonly file: string
  readonly expiresMs: number
}

/** Shows when certificates expire, and warns in time. */
export class CertificateWatch {
  readonly #options: CertificateWatchOptions
  readonly #timer: NodeJS.Timeout
  #certificates: Certificate[] = []

  constructor(options: CertificateWatchOptions) {
    this.#options = options
    this.#timer = options.schedule(() => this.#warn(), DAY_MS)
    this.#timer.unref()
  }

  /** The configuration is in force. */
  update(config: GatewayConfig): void {
    const before = this.#certificates
    this.#certificates = certificatesOf(config)
    for (const { listener, name } of before) this.#show(listener, name, 0)
    for (const { listener, name, expiresMs } of this.#certificates) this.#show(listener, name, Math.floor(expiresMs / 1000))
    this.#warn()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #show(listener: string, certificate: string, seconds: number): void {
    createGauge(this.#options.registry, METRICS.tlsCertificateExpiry, { listener, certificate }).set(seconds)
  }

  #warn(): void {
    const { clock, log } = this.#options
    const nowMs = clock.wallClock()
    for (const { listener, file, expiresMs } of this.#certificates) {
      const leftMs = expiresMs - nowMs
      if (leftMs >= WARN_MS) continue
      const fields = { listener, certificate: file, expires: new Date(expiresMs).toISOString() }
      if (leftMs <= 0) log.error('a certificate has expired', fields)
      else log.warn(`a certificate expires in ${Math.floor(leftMs / DAY_MS)} days`, fields)
    }
  }
}

function certificatesOf(config: GatewayConfig): Certificate[] {
  const result: Certificate[] = []
  for (const listener of Object.values(config.listeners)) {
    if ((listener.protocol !== 'http' && listener.protocol !== 'tcp') || listener.tls === null) continue
    for (const { names, cert, expiresMs } of listener.tls.certificates) {
      result.push({ listener: listener.name, name: names[0] ?? '-', file: cert, expiresMs })
    }
  }
  return result
}
