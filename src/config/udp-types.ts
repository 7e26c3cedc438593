import type { AddressConfig } from './types.ts'

/** A listener that passes datagrams on to a service, one flow for each client address and port. */
export interface UdpListenerConfig {
  name: string
  address: AddressConfig
  protocol: 'udp'
  to: string
  /** Ranges whose clients are served; empty: all. */
  allow: string[]
  /** Ranges whose clients are not served, whatever `allow` says. */
  deny: string[]
  /** Over all workers; divided evenly among them, at least one each. */
  maxFlows: number
  /** Replies expected to each datagram; when all have come, the flow ends. null: nobody knows, only silence ends it. */
  replies: number | null
  /** Endpoints tried for one flow, the first included. */
  connectAttempts: number
  /** How long a flow lives without a datagram either way. */
  idleTimeoutMs: number
}
