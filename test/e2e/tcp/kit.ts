// What the tests of TCP listeners share: services that speak plain bytes, and clients that see how a connection ends.
import net from 'node:net'
import type { CleanupScope } from '../../support/cleanup.ts'
import { waitFor } from '../../support/wait.ts'

export interface TcpService {
  port: number
  address: string
  /** Connections so far. */
  count: number
  open: Set<net.Socket>
  /** No new connections; those there are are reset. */
  close(): Promise<void>
}

/** A service on a port of its own. Sockets are half-open, and their errors are nobody's business. */
export async function startService(scope: CleanupScope, onSocket: (socket: net.Socket) => void, port = 0): Promise<TcpService> {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    service.count++
    service.open.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => service.open.delete(socket))
    onSocket(socket)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const bound = (server.address() as net.AddressInfo).port
  const service: TcpService = {
    port: bound,
    address: `127.0.0.1:${bound}`,
    count: 0,
    open: new Set(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of service.open) socket.resetAndDestroy()
      }),
  }
  scope.after(() => service.close())
  return service
}

/** Answers with what it gets; its FIN follows that of the client. */
export function startEcho(scope: CleanupScope): Promise<TcpService> {
  return startService(scope, (socket) => void socket.pipe(socket))
}

/** Says its name and ends. */
export function startNamed(scope: CleanupScope, name: string, port = 0): Promise<TcpService> {
  return startService(scope, (socket) => void socket.resume().end(name), port)
}

export interface TcpClient {
  socket: net.Socket
  /** Everything received so far. */
  readonly received: string
  /** Resolves when the socket is closed: `end` after a FIN, or the code of the error. */
  closed: Promise<string>
  /** The FIN of the other side. */
  ended: Promise<void>
}

/** Connects, half-open. What comes is kept. */
export function openClient(scope: CleanupScope, port: number, options: Partial<net.TcpNetConnectOpts> = {}): Promise<TcpClient> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true, ...options })
  scope.after(() => void socket.destroy())
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
  })
  let how = 'end'
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(how)))
  const ended = new Promise<void>((resolve) => socket.on('end', resolve))
  return new Promise((resolve) => {
    const client: TcpClient = {
      socket,
      get received() {
        return received
      },
      closed,
      ended,
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      how = error.code ?? error.message
      resolve(client)
    })
    socket.on('connect', () => resolve(client))
  })
}

/** Sends, with a FIN behind it, and gives back all that comes. */
export async function exchange(scope: CleanupScope, port: number, text: string): Promise<{ received: string; how: string }> {
  const client = await openClient(scope, port)
  client.socket.end(text, 'latin1')
  const how = await client.closed
  return { received: client.received, how }
}

/** Waits until `text` has come, or the connection is closed. */
export async function echoOrEnd(client: TcpClient, text: string): Promise<void> {
  let isClosed = false
  void client.closed.then(() => (isClosed = true))
  await waitFor('the echo, or the end', () => isClosed || client.received === text)
}
