import { randomFillSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxFrame } from '../competitors/nginx.ts'
import { routePrefixes } from '../competitors/routes.ts'
import type { UpstreamName } from '../types.ts'
import { programVersion, requireProgram } from './find-program.ts'
import { LOAD_CPUS } from './pinning.ts'
import { freePort } from './ports.ts'
import { waitUntilReady } from './probe.ts'
import { newFolder, type Running, start } from './processes.ts'

/** Where gRPC calls go below each route. */
export const GRPC_METHOD = 'x.grpc'
/** A gRPC message: five bytes of head (not compressed, length) and ten of content. */
export const GRPC_MESSAGE = Buffer.from('\0\0\0\0\x0asluice-api')
const STREAM_MESSAGES = 10_000
/** gRPC scenarios have no more routes than these. */
const GRPC_ROUTES = 10

/** Length of the response of each upstream that answers one. */
export const BODY_BYTES: Readonly<Record<UpstreamName, number>> = {
  small: 66,
  large: 1024 * 1024,
  grpc: GRPC_MESSAGE.length,
  'grpc-stream': GRPC_MESSAGE.length * STREAM_MESSAGES,
  echo: 0,
  redis: 0,
}

const NGINX = () => `nginx ${programVersion('nginx', ['-v'], /nginx\/([\d.]+)/) ?? 'missing'}`
const NGHTTPD = () => `nghttpd ${programVersion('nghttpd', ['--version'], /nghttp2\/([\d.]+)/) ?? 'missing'}`

/** Name and version of an upstream, for the report. */
export const UPSTREAM_TITLE: Readonly<Record<UpstreamName, () => string>> = {
  small: NGINX,
  large: NGINX,
  grpc: NGHTTPD,
  'grpc-stream': NGHTTPD,
  echo: () => 'bench/load/websocket-echo.ts',
  redis: () => `Redis ${programVersion('redis-server', ['--version'], /v=([\d.]+)/) ?? 'missing'}`,
}

const STARTERS: Readonly<Record<UpstreamName, (port: number) => Promise<Running>>> = {
  small: startSmall,
  large: startLarge,
  grpc: (port) => startGrpc('grpc', port, 1),
  'grpc-stream': (port) => startGrpc('grpc-stream', port, STREAM_MESSAGES),
  echo: startEcho,
  redis: startRedis,
}

const ports = new Map<UpstreamName, number>()

/** The port of an upstream, one for all proxies of a run, started when it is first asked for. Throws when its program is not installed. */
export async function upstreamPort(name: UpstreamName): Promise<number> {
  const known = ports.get(name)
  if (known !== undefined) return known
  const port = await freePort()
  await STARTERS[name](port)
  ports.set(name, port)
  return port
}

/** nginx with one worker, 66 bytes from memory. */
function startSmall(port: number): Promise<Running> {
  return startNginx('small', port, () => `return 200 "${'sluice '.repeat(10).slice(0, BODY_BYTES.small)}";`)
}

/** The same with a file of 1 MiB. */
function startLarge(port: number): Promise<Running> {
  return startNginx('large', port, (folder) => {
    // Bytes that do not compress, in a file that stays in the page cache.
    writeFileSync(join(folder, 'large.bin'), randomFillSync(Buffer.alloc(BODY_BYTES.large)))
    return `root ${folder}; try_files /large.bin =404;`
  })
}

async function startNginx(name: UpstreamName, port: number, answer: (folder: string) => string): Promise<Running> {
  const program = requireProgram('nginx')
  const folder = newFolder(`upstream-${name}`)
  // What a proxy must have added can be asked for by a client, see verify.ts.
  const configuration = `${nginxFrame(folder)}
  default_type application/octet-stream;
  open_file_cache max=10 inactive=600s;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /forwarded-for { return 200 "$http_x_forwarded_for"; }
    location / { ${answer(folder)} }
  }
}
`
  const command = [program, '-p', folder, '-c', 'nginx.conf', '-e', 'error.log'] as const
  const running = start(name, folder, { files: { 'nginx.conf': configuration }, command }, LOAD_CPUS)
  await waitUntilReady(running, port, 'http1', name)
  return running
}

/** nghttpd answers every POST with a file and the trailer of a call that went well: what a gRPC service does, without the service. */
async function startGrpc(name: UpstreamName, port: number, messages: number): Promise<Running> {
  const program = requireProgram('nghttpd')
  const folder = newFolder(`upstream-${name}`)
  for (const prefix of routePrefixes(GRPC_ROUTES)) {
    mkdirSync(join(folder, prefix))
    writeFileSync(join(folder, prefix, GRPC_METHOD), Buffer.concat(Array.from({ length: messages }, () => GRPC_MESSAGE)))
  }
  const flags = ['--no-tls', '-a', '127.0.0.1', '-d', folder, '-n1', '-m1000', '--no-content-length', '--trailer', 'grpc-status: 0']
  const types = { 'mime.types': 'application/grpc grpc\n' }
  const command = [program, ...flags, `--mime-types-file=${join(folder, 'mime.types')}`, String(port)] as const
  const running = start(name, folder, { files: types, command }, LOAD_CPUS)
  await waitUntilReady(running, port, 'grpc', name)
  return running
}

async function startEcho(port: number): Promise<Running> {
  const script = join(import.meta.dirname, '..', 'load', 'websocket-echo.ts')
  const running = start('echo', newFolder('upstream-echo'), { files: {}, command: [process.execPath, script, String(port)] }, LOAD_CPUS)
  await waitUntilReady(running, port, 'websocket', 'echo')
  return running
}

async function startRedis(port: number): Promise<Running> {
  const program = requireProgram('redis-server')
  const folder = newFolder('upstream-redis')
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const running = start('redis', folder, { files: {}, command: [program, ...flags] }, LOAD_CPUS)
  await waitUntilReady(running, port, 'tcp', 'redis')
  return running
}
