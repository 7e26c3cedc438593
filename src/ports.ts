import { createServer } from 'node:net'
import type { AddressConfig } from './config/types.ts'

/**
 * Workers bind with SO_REUSEPORT, so another gateway on the same port would go unnoticed and take a share of the connections. An
 * exclusive bind beforehand shows it. Rejects with one sentence that names the address.
 */
export async function assertPortsFree(addresses: readonly AddressConfig[]): Promise<void> {
  for (const { host, port } of addresses) {
    if (port === 0) continue
    const probe = createServer()
    try {
      await new Promise<void>((resolve, reject) => {
        probe.once('error', reject)
        probe.listen(host === '' ? { port } : { host, port }, resolve)
      })
    } catch (error) {
      throw new Error(`cannot listen on ${formatAddress(host, port)}: ${describeBindError(error)}`, { cause: error })
    } finally {
      await new Promise((resolve) => probe.close(resolve))
    }
  }
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
