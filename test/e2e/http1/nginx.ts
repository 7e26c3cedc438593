/** A real nginx for the tests, in a folder of its own. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { requirePrograms } from '../../support/programs.ts'
import { waitFor } from '../../support/wait.ts'

export interface Nginx {
  port: number
  address: string
  /** What is served from `root`. */
  folder: string
}

/** Starts nginx with one server; `body` is what stands in its server block, `files` what lies in its root. */
export async function startNginx(
  scope: CleanupScope,
  body: string,
  { files = {}, http = '' }: { files?: Record<string, string | Buffer>; http?: string } = {},
): Promise<Nginx> {
  const { nginx } = requirePrograms(['nginx'])
  const port = await freePort()
  const base = mkdtempSync(join(tmpdir(), 'sluice-nginx-'))
  const folder = join(base, 'root')
  mkdirSync(folder)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${base}/${name};`).join(' ')
  writeFileSync(
    join(base, 'nginx.conf'),
    `daemon off; master_process off; pid ${base}/pid; error_log ${base}/error.log;
events { worker_connections 512; }
http { ${paths} access_log off; client_max_body_size 0; default_type text/plain; ${http}
server { listen 127.0.0.1:${port}; root ${folder}; ${body} } }
`,
  )
  const child = spawn(nginx, ['-p', base, '-c', join(base, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (data) => (complaint += data))
  const exited = new Promise((resolve) => child.once('close', resolve))
  scope.after(async () => {
    child.kill('SIGKILL')
    await exited
    rmSync(base, { recursive: true, force: true })
  })
  await waitFor(
    'nginx',
    () => {
      if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}: ${complaint}`)
      return canConnect(port)
    },
    { timeoutMs: 10_000 },
  )
  return { port, address: `127.0.0.1:${port}`, folder }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
