// WebSocket load: each connection has one message under way and sends the next when its echo is there.
//   node websocket.ts PORT SECONDS CONNECTIONS ROUTES
import type { Socket } from 'node:net'
import { Report } from './report.ts'
import { CLIENT_FRAME, openWebSocket, type Reading, SERVER_FRAME } from './websocket-frames.ts'

const [port = 0, seconds = 1, connections = 1, routes = 1] = process.argv.slice(2).map(Number)
/** How long all connections together have to open. */
const OPEN_MS = 10_000

const sockets: Socket[] = []
const starts: (() => void)[] = []
let report = new Report()
let ended = false

function open(index: number): void {
  let got = 0
  let sentMs = 0
  const send = (): void => {
    sentMs = performance.now()
    socket.write(CLIENT_FRAME)
  }
  const reading: Reading = {
    opened: false,
    onOpen: () => {
      starts.push(send)
      if (starts.length === connections) startAll()
    },
    onBytes: (bytes) => {
      got += bytes
      if (got < SERVER_FRAME.length) return
      got -= SERVER_FRAME.length
      report.add(performance.now() - sentMs)
      if (!ended) send()
    },
    onEnd: (reason) => {
      if (ended) return
      report.fail(reason)
      // Without all of its connections this is not the load that was asked for.
      end()
    },
  }
  const socket = openWebSocket(port, `/r${String(index % routes).padStart(5, '0')}/x`, '127.0.0.1', reading)
  sockets.push(socket)
}

function startAll(): void {
  clearTimeout(limit)
  report = new Report()
  for (const start of starts) start()
  setTimeout(end, seconds * 1000)
}

function end(): void {
  if (ended) return
  ended = true
  clearTimeout(limit)
  report.print()
  for (const socket of sockets) socket.destroy()
}

const limit = setTimeout(() => {
  report.fail(`only ${starts.length} of ${connections} connections opened`)
  end()
}, OPEN_MS)
for (let index = 0; index < connections; index++) open(index)
