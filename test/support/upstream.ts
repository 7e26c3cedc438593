import http from 'node:http'
import net from 'node:net'
import type { CleanupScope } from './cleanup.ts'

/** A server the gateway forwards to, on a port of its own. */
export interface Upstream {
  port: number
  /** `127.0.0.1:port`, as an endpoint is written in a configuration. */
  address: string
  /** Connections accepted so far. */
  readonly connections: number
  /** Connections open now. */
  readonly open: number
  /** Closes the listening socket and every connection, without a goodbye. Called at the end of the test too. */
  stop(): Promise<void>
}

/** An upstream over node:http. */
export function startUpstream(scope: CleanupScope, handler: http.RequestListener, options: http.ServerOptions = {}): Promise<Upstream> {
  return listen(scope, http.createServer(options, handler))
}

/** An upstream that sees each connection as bytes: what comes in, and whatever it wants to answer, valid or not. */
export function startRawUpstream(scope: CleanupScope, onConnection: (socket: net.Socket) => void): Promise<Upstream> {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    // A test that resets connections does not want to hear that it did.
    socket.on('error', () => {})
    onConnection(socket)
  })
  return listen(scope, server)
}

function listen(scope: CleanupScope, server: net.Server): Promise<Upstream> {
  const sockets = new Set<net.Socket>()
  let connections = 0
  server.on('connection', (socket: net.Socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  scope.after(stop)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      resolve({
        port,
        address: `127.0.0.1:${port}`,
        get connections() {
          return connections
        },
        get open() {
          return sockets.size
        },
        stop,
      })
    })
  })
}
