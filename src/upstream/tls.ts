import type { ConnectionOptions, SecureContext } from 'node:tls'
import { connectSecure } from '../base/tls-wire.ts'
import { Wire, type WireOwner } from '../base/wire.ts'
import type { ServiceTlsConfig } from '../config/tls-types.ts'
import { createTlsOptions } from '../service/service-tls.ts'
import type { ConnectOptions } from './connector.ts'

/** TLS with one endpoint. Connections after the first resume its session, which saves most of the handshake. */
export class EndpointTls {
  readonly #options: ConnectionOptions
  #session: Buffer | null = null

  constructor(config: ServiceTlsConfig, context: SecureContext, hostHeader: string, host: string) {
    this.#options = createTlsOptions(config, context, hostHeader, host)
  }

  /** As `Wire.connect`. */
  connect(tcp: ConnectOptions, owner: WireOwner, onConnected: () => void): Wire {
    return connectSecure({ tcp, tls: this.#options, session: this.#session, onSession: this.#keep }, owner, onConnected)
  }

  /** A handshake has failed, and the session may have been the reason: the next one does without. */
  forgetSession(): void {
    this.#session = null
  }

  readonly #keep = (session: Buffer): void => {
    this.#session = session
  }
}

/** Opens a wire to an endpoint, with TLS or without. `onConnected` comes once it is usable. */
export function openWire(tcp: ConnectOptions, tls: EndpointTls | null, owner: WireOwner, onConnected: () => void): Wire {
  return tls === null ? Wire.connect(tcp, owner, onConnected) : tls.connect(tcp, owner, onConnected)
}
