import type { AddressConfig, HttpListenerConfig, ServiceConfig } from './types.ts'

/** A listener for clients that use Sluice as their proxy: absolute-form requests and CONNECT. */
export interface ForwardListenerConfig {
  name: string
  address: AddressConfig
  protocol: 'forward'
  /** Ranges whose clients are served; empty: all. */
  allow: string[]
  /** Ranges whose clients are not served, whatever `allow` says. */
  deny: string[]
  /** null: everybody may use it. */
  auth: ProxyAuthConfig | null
  destinations: DestinationsConfig
  /** Append the client to X-Forwarded-For. */
  forwardedFor: boolean
  /** The proxy that everything goes to; null: destinations are connected to directly. */
  parent: ParentProxyConfig | null
  /** Addresses whose connections are kept at the same time, in each worker. */
  maxDestinations: number
  /** Of CONNECT; 0 is no limit. */
  tunnel: { idleMs: number; lifetimeMs: number }
  /** How requests are read: what an HTTP listener of these settings would have. */
  http: Omit<HttpListenerConfig, 'name' | 'address'>
  /** How requests are sent: what a service of these settings would have; its endpoints are the destinations. */
  service: Omit<ServiceConfig, 'name'>
}

export interface ProxyAuthConfig {
  realm: string
  /** By user. The name of the key keeps them out of what the admin API shows. */
  passwords: Record<string, string>
}

export interface DestinationsConfig {
  /** Lower case; exact, `*.example.com`, or an address. Empty: all. */
  allowHosts: string[]
  denyHosts: string[]
  ports: PortRange[]
  connectPorts: PortRange[]
  /** Ranges that may be reached although they are private. */
  allowPrivate: string[]
  denyAddresses: string[]
}

/** Both included. */
export interface PortRange {
  first: number
  last: number
}

export interface ParentProxyConfig {
  host: string
  port: number
  /** `user:password`; null: none is asked for. */
  credentials: string | null
}
