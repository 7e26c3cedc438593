import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Competitor, Placement } from '../types.ts'
import { routePrefixes } from './routes.ts'

const THIS_CHECKOUT = resolve(import.meta.dirname, '..', '..')

/**
 * Sluice from a checkout, run from its sources: this one, or another to compare this one with (`--base`). Both run on the Node.js
 * that runs the benchmark.
 */
export function sluice(checkout = THIS_CHECKOUT): Competitor {
  const launcher = join(checkout, 'bin', 'sluice')
  const own = checkout === THIS_CHECKOUT
  return {
    name: own ? 'sluice' : 'base',
    title: own ? 'Sluice' : 'Sluice, base',
    version: () => (existsSync(launcher) ? checkoutVersion(checkout) : null),
    install: `no bin/sluice in ${own ? 'this checkout' : checkout}`,
    lacks: () => null,
    launch: (placement) => ({
      files: { 'sluice.yaml': placement.downstream === 'tcp' ? tcpConfiguration(placement) : httpConfiguration(placement) },
      command: [process.execPath, launcher, 'run', '-c', 'sluice.yaml'],
    }),
  }
}

function httpConfiguration(placement: Placement): string {
  const { port, adminPort, upstreamPort, routes, upstream, resilience, certificate } = placement
  const prefixes = routePrefixes(routes).map((prefix, route) => `  r${route}: { match: { prefix: ${prefix} }, to: up }`)
  return `workers: 1
admin: { address: "127.0.0.1:${adminPort}" }
accessLog: null
listeners:
  web:
    address: "127.0.0.1:${port}"
${certificate === null ? '' : tlsSettings(certificate.cert, certificate.key)}
services:
  up:
    endpoints: ["127.0.0.1:${upstreamPort}"]
${upstream === 'grpc' ? '    protocol: grpc' : ''}
${upstream === 'websocket' ? '    pool: { maxConnections: 10000 }' : ''}
${resilience === 'all' ? RESILIENCE : ''}
routes:
${prefixes.join('\n')}
  rest: { match: { prefix: / }, to: up }
`
}

/** What docs/health.md, docs/resilience.md and docs/overload.md offer for a service, all of it at once. */
const RESILIENCE = `    health: { http: /health, interval: 5s }
    ejection: { maxFails: 3, errorRate: 50%, latencyFactor: 3 }
    retry: { attempts: 2, budget: 20% }
    breaker: { errorRate: 50% }
    concurrency: { max: 1000 }`

function tlsSettings(cert: string, key: string): string {
  return `    tls: { certificates: [{ cert: ${cert}, key: ${key} }], minVersion: TLSv1.3, ciphers: TLS_AES_128_GCM_SHA256 }`
}

function tcpConfiguration({ port, adminPort, upstreamPort }: Placement): string {
  return `workers: 1
admin: { address: "127.0.0.1:${adminPort}" }
accessLog: null
listeners:
  relay: { address: "127.0.0.1:${port}", protocol: tcp, to: up }
services:
  up: { endpoints: ["127.0.0.1:${upstreamPort}"] }
`
}

/** Version of the package and, where git knows it, the commit. */
function checkoutVersion(checkout: string): string {
  const manifest = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }
  const git = spawnSync('git', ['-C', checkout, 'describe', '--always', '--dirty'], { encoding: 'utf8' })
  return git.status === 0 ? `${manifest.version} (${git.stdout.trim()})` : manifest.version
}
