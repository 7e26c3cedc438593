// What the WebSocket load and its echo server agree on: every message is the same, so that neither has to look into one. What is
// measured stands between the two and cannot know that.
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'

/** Bytes of a message. */
export const MESSAGE_BYTES = 32
const MASK = [0x12, 0x34, 0x56, 0x78] as const
const PAYLOAD = Buffer.alloc(MESSAGE_BYTES, 'sluice-')
/** From the client: final text frame, masked (RFC 6455, 5.2). */
export const CLIENT_FRAME = Buffer.concat([
  Buffer.from([0x81, 0x80 | MESSAGE_BYTES, ...MASK]),
  PAYLOAD.map((byte, at) => byte ^ MASK[at & 3]!),
])
/** The same from the server, not masked. */
export const SERVER_FRAME = Buffer.concat([Buffer.from([0x81, MESSAGE_BYTES]), PAYLOAD])

const KEY = 'c2x1aWNlLWJlbmNobWFyaw=='

/** What a server makes of a key (RFC 6455, 4.2.2). */
export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

const ACCEPT = acceptOf(KEY)

/** What happens on a WebSocket. */
export interface Reading {
  /** False until the handshake is done. */
  opened: boolean
  onOpen: () => void
  /** So many bytes of echoes came. */
  onBytes: (bytes: number) => void
  /** May be called more than once. */
  onEnd: (reason: string) => void
}

/** One buffer for all sockets of the process: bytes are used before the next read. */
const shared = Buffer.allocUnsafe(64 * 1024)

/** Opens a WebSocket. Frames that come together with the handshake's answer are not expected: the echo server never speaks first. */
export function openWebSocket(port: number, path: string, localAddress: string, reading: Reading): Socket {
  let head = ''
  const onData = (bytes: number): boolean => {
    if (reading.opened) {
      if (bytes >= SERVER_FRAME.length && shared[1] !== MESSAGE_BYTES) reading.onEnd('a message that is no echo')
      else reading.onBytes(bytes)
      return true
    }
    head += shared.toString('latin1', 0, bytes)
    if (!head.includes('\r\n\r\n')) return true
    const accept = /\r\nsec-websocket-accept: *(\S+)/i.exec(head)?.[1]
    if (!head.startsWith('HTTP/1.1 101 ') || accept !== ACCEPT) {
      reading.onEnd(`unexpected answer: ${head.slice(0, 200)}`)
      return false
    }
    reading.opened = true
    reading.onOpen()
    return true
  }
  const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true, onread: { buffer: shared, callback: onData } })
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${KEY}\r\n\r\n`,
  )
  socket.on('error', (error) => reading.onEnd(error.message))
  socket.on('close', () => reading.onEnd('the connection was closed'))
  return socket
}
