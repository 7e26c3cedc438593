import type { TlsTexts } from '../config/tls-types.ts'
import type { AdminConfig } from '../config/types.ts'
import type { Log } from '../observe/log.ts'
import { type AdminServer, createAdminServer } from './server.ts'
import type { AdminSource } from './source.ts'

/** The admin listener over reloads: it moves, comes, goes, or changes its settings where it is. */
export class AdminListener {
  readonly #source: AdminSource
  readonly #log: Log
  #config: AdminConfig | null = null
  #server: AdminServer | null = null
  #address: string | null = null

  constructor(source: AdminSource, log: Log) {
    this.#source = source
    this.#log = log
  }

  /** Really bound, as `host:port`; null when there is none. */
  get address(): string | null {
    return this.#address
  }

  get scheme(): 'http' | 'https' {
    return this.#config === null || this.#config.tls === null ? 'http' : 'https'
  }

  /** Opens what `config` asks for beside what is in use, and returns what puts it in force. Throws one clear error when that cannot be. */
  async prepare(config: AdminConfig | null, texts: TlsTexts): Promise<() => void> {
    if (config === null) return () => this.#replace(null, null, null)
    const { address } = config
    const now = this.#config?.address
    if (this.#server !== null && now?.host === address.host && now.port === address.port) {
      const use = this.#server.prepare(config, texts)
      return () => {
        use()
        this.#config = config
      }
    }
    const server = createAdminServer({ config, texts, source: this.#source, log: this.#log })
    const { host, port } = await server.listen()
    return () => this.#replace(config, server, `${host.includes(':') ? `[${host}]` : host}:${port}`)
  }

  close(): Promise<void> {
    return this.#server?.close() ?? Promise.resolve()
  }

  #replace(config: AdminConfig | null, server: AdminServer | null, address: string | null): void {
    // The request that asked for the reload may be one of those it still answers.
    void this.#server?.close()
    this.#config = config
    this.#server = server
    this.#address = address
  }
}
