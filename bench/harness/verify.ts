import type { ProxySetup, UpstreamName } from '../types.ts'
import { ask } from './probe.ts'
import type { Running } from './processes.ts'
import { BODY_BYTES } from './upstream.ts'

/**
 * Checks that a proxy does the work the row claims: the whole body arrives through the first and the last route, with the trailer of a
 * gRPC call, and the upstream sees the client's address in X-Forwarded-For. (Generators check what they get, the WebSocket ones each
 * handshake.)
 */
export async function verifyProxy(running: Running, port: number, setup: ProxySetup, upstream: UpstreamName): Promise<void> {
  const { downstream, routes } = setup
  for (const route of [0, routes - 1]) {
    const path = `/r${String(route).padStart(5, '0')}/x`
    const { status, body, trailers } = await ask(port, downstream, upstream, path)
    const bytes = upstream === 'echo' ? body.length : BODY_BYTES[upstream]
    if (status !== 200 || body.length !== bytes) {
      throw new Error(`${running.name}: ${path} gave status ${status} and ${body.length} bytes instead of 200 and ${bytes}`)
    }
    if (downstream === 'grpc' && trailers['grpc-status'] !== '0') {
      throw new Error(`${running.name}: ${path} came without the trailer grpc-status`)
    }
  }
  // The gRPC upstream cannot tell what it got, and TCP has no headers.
  if (downstream === 'grpc' || downstream === 'tcp') return
  const { body } = await ask(port, downstream, upstream, '/forwarded-for')
  if (!body.toString().includes('127.0.0.1')) throw new Error(`${running.name} does not add X-Forwarded-For (upstream saw "${body}")`)
}
