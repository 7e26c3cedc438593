import { randomFillSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxFrame } from '../competitors/nginx.ts'
import { findProgram } from './find-program.ts'
import { LOAD_CPUS } from './pinning.ts'
import { freePort } from './ports.ts'
import { waitUntilReady } from './probe.ts'
import { newFolder, start } from './processes.ts'

/** Response sizes of the two upstream ports. */
export const BODY_BYTES = { small: 66, large: 1024 * 1024 } as const

/** The server behind every proxy of a run. */
export interface Upstream {
  readonly smallPort: number
  readonly largePort: number
}

/** Starts the one upstream of a run: nginx with one worker, one port per response size. Throws when nginx is not installed. */
export async function startUpstream(): Promise<Upstream> {
  const program = findProgram('nginx')
  if (program === null) throw new Error('nginx is missing: it is the upstream of every scenario (bench/install.sh installs it)')
  const folder = newFolder('upstream')
  const smallPort = await freePort()
  const largePort = await freePort()
  // Bytes that do not compress, in a file that stays in the page cache.
  writeFileSync(join(folder, 'large.bin'), randomFillSync(Buffer.alloc(BODY_BYTES.large)))
  const files = { 'nginx.conf': configuration(folder, smallPort, largePort) }
  const running = start('upstream', folder, { files, command: [program, '-p', folder, '-c', 'nginx.conf', '-e', 'error.log'] }, LOAD_CPUS)
  await waitUntilReady(running, smallPort)
  return { smallPort, largePort }
}

function configuration(folder: string, smallPort: number, largePort: number): string {
  // What a proxy must have added can be asked for by a client, see verifyProxy.
  const forwardedFor = 'location = /forwarded-for { return 200 "$http_x_forwarded_for"; }'
  return `${nginxFrame(folder)}
  default_type application/octet-stream;
  open_file_cache max=10 inactive=600s;
  server {
    listen 127.0.0.1:${smallPort} backlog=4096;
    ${forwardedFor}
    location / { return 200 "${'sluice '.repeat(10).slice(0, BODY_BYTES.small)}"; }
  }
  server {
    listen 127.0.0.1:${largePort} backlog=4096;
    ${forwardedFor}
    location / { root ${folder}; try_files /large.bin =404; }
  }
}
`
}
