import type { Clock } from '../base/clock.ts'
import { serversWithTls } from '../config/tls-files.ts'
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
  readonly validFromMs: number
  readonly expiresMs: number
}

/** Shows when certificates expire, and warns in time; also of services whose certificates are not checked. */
export class CertificateWatch {
  readonly #options: CertificateWatchOptions
  readonly #timer: NodeJS.Timeout
  #certificates: Certificate[] = []
  /** Services whose certificates nobody checks. */
  #unverified: ReadonlySet<string> = new Set()

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
    this.#warnOfServices(config)
  }

  /** Once for each: it is a decision, but one that is easily forgotten. */
  #warnOfServices({ services }: GatewayConfig): void {
    const before = this.#unverified
    this.#unverified = new Set(Object.keys(services).filter((name) => services[name]?.tls?.verify === false))
    for (const service of this.#unverified) {
      if (before.has(service)) continue
      this.#options.log.warn(
        'the certificates of a service are not checked (tls.verify is false): anybody in between can read and change',
        {
          service,
        },
      )
    }
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
    for (const { listener, file, validFromMs, expiresMs } of this.#certificates) {
      if (validFromMs > nowMs) {
        log.error('a certificate is not valid yet', { listener, certificate: file, validFrom: new Date(validFromMs).toISOString() })
      }
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
  for (const { name: listener, tls } of serversWithTls(config)) {
    for (const { names, cert, validFromMs, expiresMs } of tls.certificates) {
      result.push({ listener, name: names[0] ?? '-', file: cert, validFromMs, expiresMs })
    }
  }
  return result
}
