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
    launch: (placement) => ({
      files: { 'sluice.yaml': configuration(placement) },
      command: [process.execPath, launcher, 'run', '-c', 'sluice.yaml'],
    }),
  }
}

function configuration({ port, adminPort, upstreamPort, routes }: Placement): string {
  const prefixes = routePrefixes(routes).map((prefix, route) => `  r${route}: { match: { prefix: ${prefix} }, to: up }`)
  return `workers: 1
admin: { address: "127.0.0.1:${adminPort}" }
accessLog: null
listeners:
  web: { address: "127.0.0.1:${port}" }
services:
  up: { endpoints: ["127.0.0.1:${upstreamPort}"] }
routes:
${prefixes.join('\n')}
  rest: { match: { prefix: / }, to: up }
`
}

/** Version of the package and, where git knows it, the commit. */
function checkoutVersion(checkout: string): string {
  const manifest = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }
  const git = spawnSync('git', ['-C', checkout, 'describe', '--always', '--dirty'], { encoding: 'utf8' })
  return git.status === 0 ? `${manifest.version} (${git.stdout.trim()})` : manifest.version
}
