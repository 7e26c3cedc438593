import { findProgram, programVersion } from '../harness/find-program.ts'
import type { Competitor, Placement } from '../types.ts'
import { routePrefixes } from './routes.ts'

/** HAProxy with one thread. */
export const haproxy: Competitor = {
  name: 'haproxy',
  title: 'HAProxy',
  version: () => programVersion('haproxy', ['-v'], /version ([\d.]+)/),
  install: 'install the Debian package haproxy (bench/install.sh)',
  lacks: () => null,
  launch: (placement) => ({
    files: { 'haproxy.cfg': placement.downstream === 'tcp' ? tcpConfiguration(placement) : httpConfiguration(placement) },
    command: [findProgram('haproxy') ?? 'haproxy', '-db', '-f', 'haproxy.cfg'],
  }),
}

function httpConfiguration({ port, upstreamPort, routes, downstream, upstream, certificate }: Placement): string {
  const rules = routePrefixes(routes).map((prefix) => `  use_backend up if { path_beg ${prefix}/ }`)
  const http2 = downstream === 'http2' || downstream === 'grpc' ? ' proto h2' : ''
  const tls = certificate === null ? '' : ` ssl crt ${certificate.both} ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256`
  return `${GLOBAL}
defaults
  mode http
  option forwardfor
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout tunnel 75s
  timeout http-keep-alive 75s
  timeout http-request 60s
frontend web
  bind 127.0.0.1:${port} backlog 4096${http2}${tls}
${rules.join('\n')}
  default_backend up
backend up
  server one 127.0.0.1:${upstreamPort}${upstream === 'grpc' ? ' proto h2' : ''}
`
}

function tcpConfiguration({ port, upstreamPort }: Placement): string {
  return `${GLOBAL}
defaults
  mode tcp
  timeout connect 5s
  timeout client 75s
  timeout server 75s
listen relay
  bind 127.0.0.1:${port} backlog 4096
  server one 127.0.0.1:${upstreamPort}
`
}

const GLOBAL = `global
  nbthread 1
  maxconn 8000
  tune.maxaccept 64`
