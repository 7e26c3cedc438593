// What RFC 8441 and RFC 9113 say of an extended CONNECT, beyond what a WebSocket library does.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type http2 from 'node:http2'
import type net from 'node:net'
import { after, test } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { ask, block, codeOf, connect, DATA, frame, GOAWAY, HEADERS, hello, openRaw, RST_STREAM, SETTINGS } from '../http2/kit.ts'
import { connectHead, connectHttp2, echoOf, startClient, startEcho } from './kit.ts'

interface Talk {
  head: string
  /** What the client has said behind its head. */
  said: string
  hasEnded: boolean
  socket: net.Socket
}

const talks: Talk[] = []

/** Answers an Upgrade as asked by the path, after `/slow` with a delay. What comes is echoed in capital letters. */
const upstream = await startRawUpstream({ after }, (socket) => {
  const talk: Talk = { head: '', said: '', hasEnded: false, socket }
  socket.on('error', () => undefined)
  socket.on('end', () => {
    talk.hasEnded = true
    if (!talk.head.startsWith('GET /half')) socket.end()
  })
  socket.once('data', (bytes) => {
    talks.push(talk)
    talk.head = String(bytes)
    if (talk.head.startsWith('GET /plain')) return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain')
    if (talk.head.startsWith('GET /refuse')) {
      socket.on('data', (more) => {
        talk.said += String(more)
      })
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n')
      return void setTimeout(() => socket.write('no'), 300)
    }
    const key = /\r\nSec-WebSocket-Key: (\S+)\r\n/.exec(talk.head)?.[1] ?? ''
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    const protocol = /\r\nUpgrade: (\S+)\r\n/.exec(talk.head)?.[1] ?? ''
    const fields = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: chat\r\nContent-Length: 0\r\n\r\n`
    const answer = () => {
      socket.on('data', (more) => {
        talk.said += String(more)
        socket.write(String(more).toUpperCase())
      })
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}`)
    }
    setTimeout(answer, talk.head.startsWith('GET /slow') ? 300 : 0)
  })
})

const gateway = await startSluice(
  { after },
  {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0', timeouts: { body: '500ms' } } },
    services: { up: { endpoints: [upstream.address] } },
    routes: {
      all: { to: 'up', match: { prefix: '/' }, upgrades: ['foo'] },
      none: { to: 'up', match: { prefix: '/none' }, websocket: false },
      local: { match: { prefix: '/local' }, respond: { status: 200, body: 'here I am' } },
    },
  },
)

const session = await connectHttp2({ after }, gateway.url)

async function tunnel(path: string, headers: Record<string, string> = {}) {
  const stream = session.request(connectHead(path, headers), { endStream: false })
  const seen = { text: '', hasEnded: false, code: -1 }
  stream.setEncoding('latin1')
  stream.on('error', () => undefined)
  stream.on('data', (text: string) => {
    seen.text += text
  })
  stream.on('end', () => {
    seen.hasEnded = true
  })
  stream.on('close', () => {
    seen.code = stream.rstCode
  })
  const answer = once(stream, 'response').then(([head]) => head as http2.IncomingHttpHeaders & { ':status': number })
  return { stream, seen, answer }
}

const last = () => talks.at(-1) as Talk

test('the endpoint gets an ordinary Upgrade with a key of ours, and the client a 200 without what belongs to HTTP/1.1', async () => {
  assert.equal(session.remoteSettings.enableConnectProtocol, true)
  const { stream, answer } = await tunnel('/chat?a=b', { 'sec-websocket-key': 'mine', 'sec-websocket-protocol': 'chat, other' })
  const head = await answer
  assert.equal(head[':status'], 200)
  for (const name of ['sec-websocket-accept', 'upgrade', 'connection', 'content-length']) assert.equal(head[name], undefined, name)
  assert.equal(head['sec-websocket-protocol'], 'chat')
  const sent = last().head
  assert.match(sent, /^GET \/chat\?a=b HTTP\/1\.1\r\nHost: /)
  assert.match(sent, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n$/)
  assert.match(sent, /\r\nSec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r\n/)
  assert.match(sent, /\r\nsec-websocket-protocol: chat, other\r\n/i)
  assert.doesNotMatch(sent, /mine|Transfer-Encoding|Content-Length/i)
  const keys = new Set(talks.map((talk) => /Sec-WebSocket-Key: (\S+)/.exec(talk.head)?.[1]))
  stream.close()
  const again = await tunnel('/chat')
  await again.answer
  keys.add(/Sec-WebSocket-Key: (\S+)/.exec(last().head)?.[1])
  assert.equal(keys.size, 2)
  again.stream.close()
})

test('what the client says before it is answered, its end included, reaches the endpoint behind the answer, in order', async () => {
  const { stream, seen, answer } = await tunnel('/slow')
  const early = `${'x'.repeat(150_000)}.`
  stream.write('one ')
  stream.write(early)
  stream.end(' two')
  assert.equal((await answer)[':status'], 200)
  await waitFor('the end', () => seen.hasEnded)
  assert.equal(last().said, `one ${early} two`)
  assert.equal(last().hasEnded, true)
  assert.equal(seen.text, `one ${early} two`.toUpperCase())
})

test('an end of one side leaves the other one open', async () => {
  const { stream, seen, answer } = await tunnel('/half')
  await answer
  stream.end('bye')
  await waitFor('the end at the endpoint', () => last().hasEnded)
  last().socket.write(' still here')
  await waitFor('what it says after that', () => seen.text === 'BYE still here')
  last().socket.end()
  await waitFor('its own end', () => seen.hasEnded && seen.code === 0)
})

test('a tunnel is silent for longer than a body may be', async () => {
  const { stream, seen, answer } = await tunnel('/silent')
  await answer
  stream.write('a')
  await new Promise((resolve) => setTimeout(resolve, 1200))
  stream.write('b')
  await waitFor('the echo', () => seen.text === 'AB')
  stream.close()
})

test('a stream that the client resets closes the connection to the endpoint, and no other', async () => {
  const [one, two] = [await tunnel('/a'), await tunnel('/b')]
  await Promise.all([one.answer, two.answer])
  const [first, second] = talks.slice(-2) as [Talk, Talk]
  one.stream.close(8)
  await waitFor('the end at the endpoint', () => (first.head.startsWith('GET /a') ? first : second).socket.closed)
  two.stream.write('hello')
  await waitFor('the echo', () => two.seen.text === 'HELLO')
  const before = upstream.open
  two.stream.close()
  await waitFor('the end of the other', () => upstream.open === before - 1)
})

test('an endpoint that breaks off resets the stream', async () => {
  const { answer, seen } = await tunnel('/a')
  await answer
  last().socket.resetAndDestroy()
  await waitFor('the reset', () => seen.code === 2)
  assert.equal(seen.hasEnded, false)
})

test('no answer can be mistaken for consent', async () => {
  const plain = await tunnel('/plain')
  plain.stream.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.equal((await plain.answer)[':status'], 502)
  await waitFor('the explanation', () => plain.seen.text.includes('speaks HTTP only'))
  const local = await tunnel('/local')
  assert.equal((await local.answer)[':status'], 501)
  const before = talks.length
  assert.equal((await ask(session as http2.ClientHttp2Session, { ':path': '/local' })).status, 200)
  assert.equal(talks.length, before)
  assert.ok(!talks.some((talk) => talk.said.includes('smuggled') || talk.head.includes('smuggled')))
})

test('what a client says although it was refused goes nowhere', async () => {
  const { stream, seen, answer } = await tunnel('/refuse')
  assert.equal((await answer)[':status'], 403)
  stream.write('GET /late HTTP/1.1\r\nHost: a\r\n\r\n')
  await waitFor('the end', () => seen.hasEnded)
  assert.equal(seen.text, 'no')
  assert.equal(last().head.startsWith('GET /refuse'), true)
  assert.equal(last().said, '')
  // The connection is kept, and would take what follows for its answer.
  last().socket.destroy()
})

test('handshakes that are refused: no such route, no such version, no such protocol', async () => {
  assert.equal((await (await tunnel('/none')).answer)[':status'], 403)
  const old = await (await tunnel('/', { 'sec-websocket-version': '8' })).answer
  assert.deepEqual([old[':status'], old['sec-websocket-version'], old['upgrade']], [400, '13', undefined])
  assert.equal((await (await tunnel('/', { ':protocol': 'connect-udp' })).answer)[':status'], 501)
})

test('a protocol that the route names is spoken as well', async () => {
  const { stream, seen, answer } = await tunnel('/', { ':protocol': 'foo' })
  assert.equal((await answer)[':status'], 200)
  assert.match(last().head, /\r\nUpgrade: foo\r\n/)
  stream.write('foo?')
  await waitFor('the echo', () => seen.text === 'FOO?')
  stream.close()
})

test('malformed: a head that ends its stream, trailers; refused: a CONNECT without a protocol', async (t) => {
  const client = await openRaw(t, gateway.port())
  const head = (path: string) => block('CONNECT', path, [':protocol', 'websocket'], ['sec-websocket-version', '13'])
  client.send(hello(), frame(SETTINGS, 1, 0))
  client.send(frame(HEADERS, 5, 1, head('/')))
  assert.equal(codeOf((await client.frame((one) => one.type === RST_STREAM && one.id === 1))!), 1)
  client.send(frame(HEADERS, 4, 3, head('/')))
  assert.notEqual(await client.frame((one) => one.type === HEADERS && one.id === 3), null)
  client.send(frame(DATA, 0, 3, 'hi'), frame(HEADERS, 5, 3, Buffer.from([0x10, 1, 97, 1, 98])))
  assert.equal(codeOf((await client.frame((one) => one.type === RST_STREAM && one.id === 3))!), 1)
  const plain = connect(t, gateway.port()).request({ ':method': 'CONNECT', ':authority': 'example.com:443' }, { endStream: false })
  const [answer] = (await once(plain, 'response')) as [{ ':status': number }]
  assert.equal(answer[':status'], 405)
  assert.equal(
    client.frames.some((one) => one.type === GOAWAY),
    false,
  )
})

test('200 WebSockets share one connection with ordinary requests', async (t) => {
  const echo = await startEcho(t, 'h1')
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0', http2: { maxConcurrentStreams: 300 } } },
    services: { up: { endpoints: [echo.address] } },
    routes: { all: { to: 'up' } },
  })
  const client = await startClient(t, 'h2', sluice.url)
  const sockets = await Promise.all(Array.from({ length: 200 }, () => client.open()))
  const answers = await Promise.all(sockets.map((socket, i) => echoOf(socket, `${i} ${'x'.repeat(5000)}`)))
  for (const [i, answer] of answers.entries()) assert.equal(String(answer), `${i} ${'x'.repeat(5000)}`)
  for (const socket of sockets) socket.terminate()
  await waitFor('the closes of the server', () => echo.closes.length === 200)
  assert.equal(String(await echoOf(await client.open(), 'one more')), 'one more')
})
