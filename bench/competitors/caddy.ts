import { findProgram, programVersion } from '../harness/find-program.ts'
import type { Competitor, Placement } from '../types.ts'
import { onlyHttp1 } from './only-http1.ts'
import { routePrefixes } from './routes.ts'

/** Caddy with one running thread of Go code (GOMAXPROCS=1). It adds X-Forwarded-For by itself. */
export const caddy: Competitor = {
  name: 'caddy',
  title: 'Caddy',
  version: () => programVersion('caddy', ['version'], /v?(\d[\d.]*)/),
  install: 'install the Debian package caddy (bench/install.sh)',
  lacks: onlyHttp1,
  launch: (placement) => ({
    files: { Caddyfile: configuration(placement) },
    command: [findProgram('caddy') ?? 'caddy', 'run', '--config', 'Caddyfile', '--adapter', 'caddyfile'],
    // Caddy keeps certificates and its last configuration below these.
    environment: { GOMAXPROCS: '1', HOME: placement.folder, XDG_CONFIG_HOME: placement.folder, XDG_DATA_HOME: placement.folder },
  }),
}

function configuration({ port, upstreamPort, routes }: Placement): string {
  const proxy = `reverse_proxy 127.0.0.1:${upstreamPort} {
      transport http {
        keepalive 75s
        keepalive_idle_conns 256
        keepalive_idle_conns_per_host 256
        compression off
      }
    }`
  const handles = routePrefixes(routes).map((prefix) => `  handle ${prefix}/* {\n    ${proxy}\n  }`)
  return `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
${handles.join('\n')}
  handle {
    ${proxy}
  }
}
`
}
