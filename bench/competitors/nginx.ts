import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, programVersion } from '../harness/find-program.ts'
import type { Competitor, Placement } from '../types.ts'
import { routePrefixes } from './routes.ts'

/** nginx with one worker process. */
export const nginx: Competitor = {
  name: 'nginx',
  title: 'nginx',
  version: () => programVersion('nginx', ['-v'], /nginx\/([\d.]+)/),
  install: 'install the Debian package nginx (bench/install.sh)',
  lacks: ({ downstream }) =>
    downstream === 'tcp' && streamModule() === null ? 'its stream module is missing: libnginx-mod-stream (bench/install.sh)' : null,
  launch: (placement) => ({
    files: { 'nginx.conf': placement.downstream === 'tcp' ? tcpConfiguration(placement) : httpConfiguration(placement) },
    command: [findProgram('nginx') ?? 'nginx', '-p', placement.folder, '-c', 'nginx.conf', '-e', 'error.log'],
  }),
}

function httpConfiguration(placement: Placement): string {
  const { folder, port, upstreamPort, routes, downstream, upstream, certificate } = placement
  const pass = upstream === 'grpc' ? 'grpc_pass grpc://up;' : 'proxy_pass http://up;'
  const locations = routePrefixes(routes).map((prefix) => `    location ${prefix}/ { ${pass} }`)
  const socket = downstream === 'http2' || downstream === 'grpc' ? ' http2' : certificate === null ? '' : ' ssl'
  // Connections kept to the upstream: one for each request of every scenario, because nginx has one request at a time on each.
  return `${nginxFrame(folder)}
  upstream up {
    server 127.0.0.1:${upstreamPort};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
  }
  proxy_http_version 1.1;
  proxy_set_header Host $host;
${downstream === 'websocket' ? FOR_WEBSOCKETS : FOR_RESPONSES}
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  server {
    listen 127.0.0.1:${port}${socket} backlog=4096;
${certificate === null ? '' : tlsSettings(certificate.cert, certificate.key)}
${locations.join('\n')}
    location / { ${pass} }
  }
}
`
}

// Buffers stay as small as nginx has them: a WebSocket keeps its own as long as it is open.
const FOR_WEBSOCKETS = `  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection upgrade;`

// Buffers big enough to read much of a large response at once, and never a temporary file.
const FOR_RESPONSES = `  proxy_set_header Connection "";
  proxy_buffer_size 16k;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;`

function tlsSettings(cert: string, key: string): string {
  return `    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_session_cache shared:tls:10m;`
}

function tcpConfiguration({ folder, port, upstreamPort }: Placement): string {
  return `${streamModule() ?? ''}
${nginxProcess(folder)}
stream {
  tcp_nodelay on;
  proxy_buffer_size 64k;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass 127.0.0.1:${upstreamPort};
  }
}
`
}

/** The line that loads the stream module, empty when it is built in; null when it is not installed. */
function streamModule(): string | null {
  const program = findProgram('nginx')
  if (program === null) return null
  const built = spawnSync(program, ['-V'], { encoding: 'utf8', timeout: 10_000 }).stderr
  if (/--with-stream(?:\s|$)/.test(built)) return ''
  const path = join(/--modules-path=(\S+)/.exec(built)?.[1] ?? '/usr/lib/nginx/modules', 'ngx_stream_module.so')
  return existsSync(path) ? `load_module ${path};` : null
}

/** The start of an nginx configuration in the foreground with one worker. */
function nginxProcess(folder: string): string {
  return `daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 16384; }`
}

/** The same up to and into the open `http` block. */
export function nginxFrame(folder: string): string {
  return `${nginxProcess(folder)}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;`
}
