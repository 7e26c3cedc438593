import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Competitor } from '../types.ts'
import { onlyHttp1 } from './only-http1.ts'

const BENCH = join(import.meta.dirname, '..')

/** A proxy made from an npm package of bench/package.json, run by `servers/<name>.mjs` on the Node.js that runs the benchmark. */
export function nodeServer(name: string, title: string, packageName: string): Competitor {
  const manifest = join(BENCH, 'node_modules', packageName, 'package.json')
  return {
    name,
    title,
    version: () => (existsSync(manifest) ? (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version : null),
    install: 'run npm ci in bench/',
    lacks: onlyHttp1,
    launch: ({ port, upstreamPort, routes }) => ({
      files: {},
      command: [process.execPath, join(BENCH, 'competitors', 'servers', `${name}.mjs`), String(port), String(upstreamPort), String(routes)],
    }),
  }
}
