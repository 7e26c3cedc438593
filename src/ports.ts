import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { connect, isIP } from 'node:net'
import type { AddressConfig, GatewayConfig, ListenerConfig } from './config/types.ts'

/** Nobody listens on tcpmux; if somebody does, nothing is said to it. */
const UNUSED_PORT = 1
const ATTEMPT_MS = 500

export interface BoundAddress extends AddressConfig {
  /** Default tcp. The same port of the other is another one. */
  readonly transport?: 'tcp' | 'udp'
}

export function boundAddress({ address, protocol }: ListenerConfig): BoundAddress {
  return protocol === 'udp' ? { ...address, transport: 'udp' } : address
}

/** What tells bound addresses apart. */
export function boundKey({ host, port, transport }: BoundAddress): string {
  return transport === 'udp' ? `udp ${formatAddress(host, port)}` : formatAddress(host, port)
}

/**
 * Workers bind with SO_REUSEPORT, so another gateway on the same port would go unnoticed and take a share of the connections. An
 * exclusive bind beforehand shows it. Rejects with one sentence that names the address.
 */
export async function assertPortsFree(addresses: readonly BoundAddress[]): Promise<void> {
  for (const { host, port, transport } of addresses) {
    if (port === 0) continue
    try {
      const local = host === '' || isIP(host) !== 0 ? host : (await lookup(host)).address
      await (transport === 'udp' ? bindDatagramsOnce(local, port) : bindOnce(local, port))
    } catch (error) {
      throw new Error(`cannot listen on ${formatAddress(host, port)}: ${describeBindError(error)}`, { cause: error })
    }
  }
}

/** What speaks against binding the addresses that are new in a configuration, or null. */
export async function findTakenPort(before: GatewayConfig, after: GatewayConfig): Promise<string | null> {
  const held = new Set(Object.values(before.listeners).map((listener) => boundKey(boundAddress(listener))))
  const added = Object.values(after.listeners).map(boundAddress)
  try {
    await assertPortsFree(added.filter((address) => !held.has(boundKey(address))))
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * Binds, and never listens: a listening socket would take connections for a moment and reset them when it closes, and on a restart
 * clients are already knocking. Node.js binds without listening only for an outgoing connection, so one is begun to nowhere.
 */
function bindOnce(host: string, port: number): Promise<void> {
  const localAddress = host === '' ? '::' : host
  const target = localAddress === '::' ? '::1' : localAddress === '0.0.0.0' ? '127.0.0.1' : localAddress
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target, port: UNUSED_PORT, localAddress, localPort: port })
    const finish = (error?: NodeJS.ErrnoException) => {
      socket.destroy()
      // Only what bind says counts. A machine without IPv6 finds out when it binds in earnest.
      if (error?.syscall !== 'bind' || (host === '' && error.code !== 'EADDRINUSE' && error.code !== 'EACCES')) resolve()
      else reject(error)
    }
    socket.on('error', finish)
    socket.on('connect', () => finish())
    socket.setTimeout(ATTEMPT_MS, () => finish())
  })
}

function bindDatagramsOnce(host: string, port: number): Promise<void> {
  const address = host === '' ? '::' : host
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4')
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close()
      if (host === '' && error.code !== 'EADDRINUSE' && error.code !== 'EACCES') resolve()
      else reject(error)
    })
    socket.bind({ address, port, exclusive: true }, () => socket.close(resolve))
  })
}

function describeBindError(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE') return 'another process is using it'
  if (code === 'EACCES') return 'this user may not bind it (ports below 1024 need a privilege)'
  if (code === 'EADDRNOTAVAIL') return 'this machine has no such address'
  return error instanceof Error ? error.message : String(error)
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
