// Opens keep-alive connections, sends one request on each, and holds them. The same with WebSockets and one message on each.
//   node idle-clients.ts PORT COUNT ROUTES http|websocket
// Prints `ready`, or the first error. A line on standard input asks for the number of open connections; its end closes them all.
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { CLIENT_FRAME, openWebSocket, type Reading, SERVER_FRAME } from './websocket-frames.ts'

const [port = 0, count = 0, routes = 1] = process.argv.slice(2, 5).map(Number)
const open = process.argv[5] === 'websocket' ? openNextWebSocket : openNext
/** Connections whose request is under way at a time: no burst that a listening queue would drop. */
const AT_ONCE = 32
/** Loopback addresses the connections come from, so that a limit per client address is not what is measured. */
const SOURCES = 50

const sockets = new Set<Socket>()
let started = 0
let done = 0

function openNext(): void {
  if (started === count) return
  const index = started++
  const socket = connect({ host: '127.0.0.1', port, localAddress: sourceOf(index) })
  socket.write(`GET ${pathOf(index)} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  let text = ''
  let complete = false
  sockets.add(socket)
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    text += chunk
    if (complete || !isComplete(text)) return
    complete = true
    done++
    if (done === count) console.log('ready')
    else openNext()
  })
  socket.on('error', (error) => fail(complete, error.message))
  socket.on('close', () => {
    sockets.delete(socket)
    fail(complete, 'a connection was closed before its response was complete')
  })
}

function openNextWebSocket(): void {
  if (started === count) return
  const index = started++
  let complete = false
  let got = 0
  const reading: Reading = {
    opened: false,
    onOpen: () => socket.write(CLIENT_FRAME),
    onBytes: (bytes) => {
      got += bytes
      if (got < SERVER_FRAME.length || complete) return
      complete = true
      done++
      if (done === count) console.log('ready')
      else openNextWebSocket()
    },
    onEnd: (reason) => {
      sockets.delete(socket)
      fail(complete, reason)
    },
  }
  const socket = openWebSocket(port, pathOf(index), sourceOf(index), reading)
  sockets.add(socket)
}

const sourceOf = (index: number) => `127.0.0.${2 + (index % SOURCES)}`
const pathOf = (index: number) => `/r${String(index % routes).padStart(5, '0')}/x`

/** Throws on a response that is not a 200 with a length. */
function isComplete(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return false
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))
  if (!text.startsWith('HTTP/1.1 200 ') || length === null) throw new Error(`unexpected response: ${text.slice(0, headEnd)}`)
  return text.length === headEnd + 4 + Number(length[1])
}

function fail(complete: boolean, message: string): void {
  // After its response a connection may be closed; the count tells.
  if (complete) return
  console.log(`connection ${done + 1} of ${count}: ${message}`)
  process.exit(1)
}

createInterface({ input: process.stdin })
  .on('line', () => console.log(sockets.size))
  .on('close', () => process.exit(0))
for (let index = 0; index < AT_ONCE; index++) open()
