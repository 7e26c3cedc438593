// TLS 1.3 handshakes: a connection, one request, the end, and the next one.
//   node tls-handshakes.ts PORT SECONDS AT_ONCE new|resumed
import { connect } from 'node:tls'
import { Report } from './report.ts'

const [port, seconds, atOnce] = process.argv.slice(2, 5).map(Number) as [number, number, number]
const resumed = process.argv[5] === 'resumed'
/** How long one connection may take. */
const MOST_MS = 5000

const report = new Report()
const REQUEST = `GET /r00000/x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`
let ended = false
let open = 0

/** One connection; with the session of the one before when sessions are to be resumed. */
function once(session: Buffer | null, warm: boolean): void {
  const startMs = performance.now()
  let next = session
  let text = ''
  let done = false
  open++
  // Who is asked does not matter here, and the certificate is nobody's.
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, minVersion: 'TLSv1.3', ...(session && { session }) })
  socket.setTimeout(MOST_MS, () => socket.destroy(new Error('no answer in time')))
  socket.setEncoding('latin1')
  socket.on('session', (ticket: Buffer) => {
    next = ticket
  })
  socket.on('secureConnect', () => {
    if (!warm && socket.isSessionReused() !== resumed) report.fail(resumed ? 'the session was not resumed' : 'a session was resumed')
    socket.write(REQUEST)
  })
  socket.on('data', (chunk: string) => {
    text += chunk
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd === -1 || done) return
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1])
    if (text.length < headEnd + 4 + length) return
    done = true
    if (!text.startsWith('HTTP/1.1 200 ')) report.fail(`unexpected response: ${text.slice(0, 50)}`)
    // The first one of each chain is a whole handshake and does not count as a resumed one.
    if (!warm) report.add(performance.now() - startMs)
    socket.end()
  })
  socket.on('error', (error) => {
    if (!done) report.fail(error.message)
    done = true
  })
  socket.on('close', () => {
    open--
    if (!done) report.fail('closed before the response was complete')
    if (!ended) once(resumed ? next : null, resumed && next === null)
    else if (open === 0) report.print()
  })
}

setTimeout(() => {
  ended = true
}, seconds * 1000)
for (let index = 0; index < atOnce; index++) once(null, resumed)
