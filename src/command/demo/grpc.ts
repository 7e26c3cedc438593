import http2 from 'node:http2'
import { type DemoService, listen } from './service.ts'

const UNIMPLEMENTED = '12'

/** A gRPC service with one method, `demo.Echo/Say`, which sends every message back as it came. */
export function startGrpcEcho(name: string, port: number): Promise<DemoService> {
  const open = new Set<http2.ServerHttp2Session>()
  const server = http2.createServer()
  server.on('session', (session) => {
    open.add(session)
    session.on('close', () => open.delete(session))
    session.on('error', () => session.destroy())
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => stream.destroy())
    const head = { ':status': 200, 'content-type': 'application/grpc', 'x-service': name }
    if (headers[':path'] !== '/demo.Echo/Say') {
      stream.respond({ ...head, 'grpc-status': UNIMPLEMENTED, 'grpc-message': 'there is only demo.Echo/Say' }, { endStream: true })
      return
    }
    stream.respond(head, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.pipe(stream)
  })
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const session of open) session.destroy()
    })
  return listen(server, name, port, close)
}
