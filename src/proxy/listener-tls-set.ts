import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { TlsTexts } from '../config/tls-types.ts'
import type { ListenerConfig } from '../config/types.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { ListenerTls } from './listener-tls.ts'

/** What TLS needs beside the configuration. */
export interface TlsMaterial {
  readonly texts: TlsTexts
  readonly ticketKeys: Buffer
}

/** TLS of all listeners of a worker, by name. What has not changed is taken over: contexts are dear. */
export class ListenerTlsSet {
  readonly #registry: MetricsRegistry
  readonly #clock: Clock
  #inUse: ReadonlyMap<string, ListenerTls> = new Map()
  #ticketKeys: Buffer | null = null

  constructor({ registry, clock }: { registry: MetricsRegistry; clock: Clock }) {
    this.#registry = registry
    this.#clock = clock
  }

  /** Throws when OpenSSL does not take a certificate. Nothing is in use before `use`. */
  prepare(listeners: readonly ListenerConfig[], material: TlsMaterial): ReadonlyMap<string, ListenerTls> {
    const result = new Map<string, ListenerTls>()
    const ticketKeys = this.#ticketKeys ?? material.ticketKeys
    for (const listener of listeners) {
      if ((listener.protocol !== 'http' && listener.protocol !== 'tcp') || listener.tls === null) continue
      const { name, tls: config } = listener
      const hasHttp2 = listener.protocol === 'http' && listener.http2 !== null
      const old = this.#inUse.get(name)
      const isSame = old !== undefined && old.hasHttp2 === hasHttp2 && isDeepStrictEqual(old.config, config)
      const { texts } = material
      result.set(
        name,
        isSame
          ? old
          : new ListenerTls({ listener: name, config, hasHttp2, texts, ticketKeys, registry: this.#registry, clock: this.#clock }),
      )
    }
    return result
  }

  use(prepared: ReadonlyMap<string, ListenerTls>): void {
    this.#inUse = prepared
  }

  useTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys
    for (const tls of this.#inUse.values()) tls.useTicketKeys(keys)
  }
}
