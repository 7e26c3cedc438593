// The server behind the proxies in the WebSocket scenarios: answers every message of websocket-frames.ts with its echo.
//   node websocket-echo.ts PORT
import { createServer, Socket } from 'node:net'
import { acceptOf, CLIENT_FRAME, SERVER_FRAME } from './websocket-frames.ts'

const port = Number(process.argv[2])
/** One buffer for all reads: bytes are used before the next read. */
const shared = Buffer.allocUnsafe(64 * 1024)

/** What Node.js calls the handle of a socket; the option `onread` is only there for sockets that are made, not for accepted ones. */
interface WithHandle {
  _handle: unknown
}

createServer({ pauseOnConnect: true, noDelay: true }, (accepted) => {
  const carrier = accepted as unknown as WithHandle
  const handle = carrier._handle
  carrier._handle = null
  let head = ''
  let opened = false
  let got = 0
  const callback = (bytes: number): boolean => {
    if (opened) {
      got += bytes
      for (; got >= CLIENT_FRAME.length; got -= CLIENT_FRAME.length) socket.write(SERVER_FRAME)
      return true
    }
    head += shared.toString('latin1', 0, bytes)
    if (!head.endsWith('\r\n\r\n')) return true
    const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1]
    if (key === undefined) {
      // The question whether the server is there, and what a proxy added.
      const body = /\r\nx-forwarded-for: *([^\r]*)/i.exec(head)?.[1] ?? ''
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
      return true
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`,
    )
    opened = true
    head = ''
    return true
  }
  // What is not in the types of Node.js: a handle that is already there.
  const options = { handle, onread: { buffer: shared, callback } } as unknown as ConstructorParameters<typeof Socket>[0]
  const socket = new Socket(options)
  socket.on('error', () => socket.destroy())
  socket.resume()
}).listen(port, '127.0.0.1', 4096)
