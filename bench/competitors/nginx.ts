import { findProgram, programVersion } from '../harness/find-program.ts'
import type { Competitor, Placement } from '../types.ts'
import { routePrefixes } from './routes.ts'

/** nginx with one worker process. */
export const nginx: Competitor = {
  name: 'nginx',
  title: 'nginx',
  version: () => programVersion('nginx', ['-v'], /nginx\/([\d.]+)/),
  install: 'install the Debian package nginx (bench/install.sh)',
  launch: (placement) => ({
    files: { 'nginx.conf': configuration(placement) },
    command: [findProgram('nginx') ?? 'nginx', '-p', placement.folder, '-c', 'nginx.conf', '-e', 'error.log'],
  }),
}

function configuration({ folder, port, upstreamPort, routes }: Placement): string {
  const locations = routePrefixes(routes).map((prefix) => `    location ${prefix}/ { proxy_pass http://up; }`)
  // Large responses: buffers big enough to read much at once, and never a temporary file.
  return `${nginxFrame(folder)}
  upstream up {
    server 127.0.0.1:${upstreamPort};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
  }
  proxy_http_version 1.1;
  proxy_set_header Host $host;
  proxy_set_header Connection "";
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_buffer_size 16k;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
  server {
    listen 127.0.0.1:${port} backlog=4096;
${locations.join('\n')}
    location / { proxy_pass http://up; }
  }
}
`
}

/** The start of an nginx configuration in the foreground with one worker, up to and into the open `http` block. */
export function nginxFrame(folder: string): string {
  return `daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 16384; }
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
