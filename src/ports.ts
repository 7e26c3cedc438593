import { lookup } from 'node:dns/promises'
import { connect, isIP } from 'node:net'
import type { AddressConfig } from './config/types.ts'

/** Nobody listens on tcpmux; if somebody does, nothing is said to it. */
const UNUSED_PORT = 1
const ATTEMPT_MS = 500

/**
 * Workers bind with SO_REUSEPORT, so another gateway on the same port would go unnoticed and take a share of the connections. An
 * exclusive bind beforehand shows it. Rejects with one sentence that names the address.
 */
export async function assertPortsFree(addresses: readonly AddressConfig[]): Promise<void> {
  for (const { host, port } of addresses) {
    if (port === 0) continue
    try {
      await bindOnce(host === '' || isIP(host) !== 0 ? host : (await lookup(host)).address, port)
    } catch (error) {
      throw new Error(`cannot listen on ${formatAddress(host, port)}: ${describeBindError(error)}`, { cause: error })
    }
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
