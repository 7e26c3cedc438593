import { fileURLToPath } from 'node:url'
import { systemClock } from '../base/clock.ts'
import { parseArguments } from './arguments.ts'
import { createDemoConfig, type DemoConfig, HTTPS_PORT } from './demo/config.ts'
import { startDemoServices } from './demo/services.ts'
import type { CommandIo } from './io.ts'
import { paint } from './io.ts'
import { announceAsJson } from './run.ts'
import { type ServedGateway, type StartGateway, serve, toLocalUrl } from './serve.ts'

/** Two folders above both in a checkout and in an installed package. */
const DEMO_CONFIG = fileURLToPath(new URL('../../examples/demo/sluice.yaml', import.meta.url))

/** What to type, and what is to be seen then. `$` is the gateway's address. */
const TRIALS: readonly [string, string][] = [
  ['curl -i $/anything?a=1', 'echoed by one of two endpoints in turn; see the headers the service got'],
  ['curl -i $/users/7', 'a path template, a rewrite and a header edit on the way'],
  ['curl -N $/stream', 'server-sent events, passed on one by one'],
  ['curl -i $/slow?ms=1000', 'a slow answer; ?ms=9000 is cut off with 504 after 5 s'],
  ['curl -i $/failing/503', 'also /failing/reset, /truncate, /garbage and /hang: what the client sees then'],
  ['curl -iL $/old', 'a redirect to an answer of the gateway itself'],
  ['curl -i --http2-prior-knowledge $/anything', 'HTTP/2 in, HTTP/1.1 to the service'],
]

/** Longer ones, each with a line of its own. */
const PROTOCOLS: readonly [string, string][] = [
  [
    'WebSocket: 101, a greeting, and what is sent comes back (curl only listens, for 2 s)',
    `curl -siN -m 2 --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: c2x1aWNlIGRlbW8ga2V5IQ==' $/chat`,
  ],
  [
    'gRPC: a call by hand; the message comes back, and grpc-status 0 after it',
    `printf '\\0\\0\\0\\0\\6\\012\\4ping' | curl -s -v --http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- -o - $/demo.Echo/Say`,
  ],
  ['TCP: an echo behind a listener of bytes', 'echo hello | curl -s -m 2 telnet://127.0.0.1:8081'],
]

/** `sluice demo [--json]`: example services and a gateway in front of them, all on loopback. */
export async function demoCommand(argv: readonly string[], io: CommandIo, startGateway?: StartGateway): Promise<number> {
  const { values } = parseArguments(argv, { json: { type: 'boolean' } })
  const services = await startDemoServices()
  const config = await createDemoConfig(DEMO_CONFIG, systemClock.wallClock())
  try {
    return await serve({
      io,
      path: config.path,
      watch: false,
      startGateway: startGateway ?? (await import('../gateway.ts')).startGateway,
      announce: (gateway) => (values.json === true ? announceAsJson(gateway, io) : announce(gateway, config, io)),
    })
  } finally {
    config.remove()
    await Promise.all(services.map((service) => service.close()))
  }
}

function announce(gateway: ServedGateway, config: DemoConfig, io: CommandIo): void {
  const url = toLocalUrl(gateway.listenerAddresses()[0]!.address)
  const commands = TRIALS.map(([command]) => quote(command.replace('$', url)))
  const width = Math.max(...commands.map((command) => command.length))
  const lines = TRIALS.map(([, meaning], index) => `  ${commands[index]!.padEnd(width)}  ${paint(io.stdout, 'dim', meaning)}`)
  const protocols = PROTOCOLS.map(
    ([meaning, command]) => `  ${paint(io.stdout, 'dim', `# ${meaning}`)}\n  ${command.replace('$/', `${url}/`)}`,
  )
  const { certificate, reason } = config
  const https =
    certificate === null ? `No https: ${reason}\n` : `Over TLS: curl --cacert ${certificate} https://localhost:${HTTPS_PORT}/anything\n`
  const admin =
    gateway.adminAddress === null
      ? ''
      : `Admin: ${toLocalUrl(gateway.adminAddress, gateway.adminScheme)} (/healthz, /readyz, /metrics, /config)\n`
  io.stdout.write(`${paint(io.stdout, 'bold', `The gateway is at ${url}`)}. Try in another terminal:

${lines.join('\n')}

${protocols.join('\n')}

${https}${admin}Configuration: ${DEMO_CONFIG}
Ctrl-C ends it. The access log follows.
`)
}

/** Shells read a question mark as a pattern. */
function quote(command: string): string {
  return command.replace(/(\S*\?\S*)/, "'$1'")
}
