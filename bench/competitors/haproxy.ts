import { findProgram, programVersion } from '../harness/find-program.ts'
import type { Competitor, Placement } from '../types.ts'
import { routePrefixes } from './routes.ts'

/** HAProxy with one thread. */
export const haproxy: Competitor = {
  name: 'haproxy',
  title: 'HAProxy',
  version: () => programVersion('haproxy', ['-v'], /version ([\d.]+)/),
  install: 'install the Debian package haproxy (bench/install.sh)',
  launch: (placement) => ({
    files: { 'haproxy.cfg': configuration(placement) },
    command: [findProgram('haproxy') ?? 'haproxy', '-db', '-f', 'haproxy.cfg'],
  }),
}

function configuration({ port, upstreamPort, routes }: Placement): string {
  const rules = routePrefixes(routes).map((prefix) => `  use_backend up if { path_beg ${prefix}/ }`)
  return `global
  nbthread 1
  maxconn 8000
  tune.maxaccept 64
defaults
  mode http
  option forwardfor
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout http-keep-alive 75s
  timeout http-request 60s
frontend web
  bind 127.0.0.1:${port} backlog 4096
${rules.join('\n')}
  default_backend up
backend up
  server one 127.0.0.1:${upstreamPort}
`
}
