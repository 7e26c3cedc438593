import type { ListenerTlsConfig } from './tls-types.ts'
import type { AddressConfig } from './types.ts'

/** A listener that passes bytes on to a service and looks into none of them, but for what is named here. */
export interface TcpListenerConfig {
  name: string
  address: AddressConfig
  protocol: 'tcp'
  /** The service; null: `sni` names them. */
  to: string | null
  /** Services by the name the TLS client asks for, without terminating TLS; null is off. */
  sni: SniConfig | null
  /** TLS with clients ends here; null: bytes pass as they are. */
  tls: ListenerTlsConfig | null
  /** Ranges whose clients are served; empty: all. */
  allow: string[]
  /** Ranges whose clients are not served, whatever `allow` says. */
  deny: string[]
  /** PROXY protocol expected from these ranges, and from nobody else; null is off. */
  proxyProtocol: ProxyProtocolConfig | null
  maxConnections: number
  maxConnectionsPerClient: number
  /** Endpoints tried for one connection, the first included. */
  connectAttempts: number
  timeouts: {
    /** Longest time without a byte in either direction; 0 is no limit. */
    idleMs: number
    /** Longest life of a connection; 0 is no limit. */
    lifetimeMs: number
    /** From accepting to the end of what is read before connecting: PROXY header, TLS greeting. */
    headMs: number
  }
  /** Bytes per second of one connection in each direction; 0 is no limit. */
  bandwidth: { uploadBytesPerSecond: number; downloadBytesPerSecond: number }
  /** Count calls and replies by method. */
  thrift: boolean
}

export interface SniConfig {
  /** Lower case; exact, or `*.example.com`. */
  names: { name: string; service: string }[]
  /** For other names, and for what is no TLS; null: such connections are closed. */
  fallback: string | null
}

export interface ProxyProtocolConfig {
  /** Ranges that must send the header; a connection from elsewhere is closed. */
  from: string[]
}
