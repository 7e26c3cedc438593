import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { acceptKeyOf, createCloseFrame, isWebSocketKey } from '../../codec/websocket.ts'

const TEXT = 1
const CLOSE = 8
const PING = 9
const PONG = 10
/** Short frames are all that a demo needs. */
const MAX_PAYLOAD_BYTES = 125
const CLOSE_TOO_BIG = 1009

/** Greets a client that asks for a WebSocket (RFC 6455), then sends back each message of at most 125 bytes. */
export function serveWebSocket(name: string, request: IncomingMessage, socket: Duplex, first: Buffer): void {
  const key = request.headers['sec-websocket-key'] ?? ''
  socket.on('error', () => socket.destroy())
  if (!isWebSocketKey(key)) {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    return
  }
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptKeyOf(key)}`,
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  socket.write(frameOf(TEXT, Buffer.from(`hello from ${name}; what you send comes back\n`)))
  let rest = first
  const onBytes = (bytes: Buffer): void => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    while (rest.length >= 2 && !socket.writableEnded) {
      const length = (rest[1] as number) & 0x7f
      if (length > MAX_PAYLOAD_BYTES) {
        socket.end(createCloseFrame(CLOSE_TOO_BIG, 'the demo takes 125 bytes'))
        return
      }
      // Four bytes of mask: clients mask always.
      if (rest.length < 6 + length) return
      answer(socket, rest.subarray(0, 6 + length))
      rest = rest.subarray(6 + length)
    }
  }
  socket.on('data', onBytes)
  socket.on('end', () => socket.end())
  onBytes(Buffer.alloc(0))
}

function answer(socket: Duplex, frame: Buffer): void {
  const opcode = (frame[0] as number) & 0x0f
  const payload = Buffer.from(frame.subarray(6))
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (frame[2 + (i % 4)] as number)
  if (opcode === CLOSE) socket.end(frameOf(CLOSE, payload))
  else if (opcode === PING) socket.write(frameOf(PONG, payload))
  else if (opcode !== PONG) socket.write(Buffer.concat([Buffer.from([((frame[0] as number) & 0x80) | opcode, payload.length]), payload]))
}

function frameOf(opcode: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload])
}
