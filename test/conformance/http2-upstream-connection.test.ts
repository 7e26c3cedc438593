/** RFC 9113 in the role of the client: the greeting of an endpoint, and what the gateway keeps to when it sends. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { after, test } from 'node:test'
import tls from 'node:tls'
import { codeOf, DATA, type Frame, frame, GOAWAY, get, HEADERS, PING, RST_STREAM, SETTINGS, u32, WINDOW_UPDATE } from '../e2e/http2/kit.ts'
import { http1Client } from '../e2e/http2/upstream-kit.ts'
import { Authority } from '../e2e/tls/kit.ts'
import { type SluiceProcess, startSluice } from '../support/sluice.ts'
import { waitFor } from '../support/wait.ts'
import {
  ACK,
  bytes,
  END_STREAM,
  FLOW_CONTROL_ERROR,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
} from './kit.ts'
import { type EndpointConnection, head, last, listen, serve, whole } from './upstream-kit.ts'

const scope = { after }
const settings = (...pairs: [number, number][]): Buffer =>
  frame(SETTINGS, 0, 0, Buffer.concat(pairs.map(([id, value]) => Buffer.concat([bytes(0, id), u32(value)]))))

type OnRequest = Parameters<typeof serve>[1]

interface Endpoint {
  connections: EndpointConnection[]
  address: string
}

/** An endpoint that says this first. */
async function startEndpoint(onRequest: OnRequest, greeting?: Buffer): Promise<Endpoint> {
  const connections: EndpointConnection[] = []
  const server = net.createServer({ noDelay: true }, (socket) => void connections.push(serve(socket, onRequest, greeting)))
  return { connections, address: await listen(scope, server) }
}

const GREETINGS: [string, Buffer][] = [
  ['HTTP/1.1', Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')],
  ['HEADERS', frame(HEADERS, 5, 1, bytes(0x88))],
  ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
  ['GOAWAY', frame(GOAWAY, 0, 0, Buffer.alloc(8))],
  ['an unknown frame', frame(0xbe, 0, 0)],
  ['an acknowledgement', frame(SETTINGS, ACK, 0)],
  ['the preface of a client', get(1)],
  ['SETTINGS of a wrong length', frame(SETTINGS, 0, 0, 'abc')],
  ['SETTINGS with a value that cannot be', settings([MAX_FRAME_SIZE, 1])],
  ['SETTINGS on a stream', frame(SETTINGS, 0, 1)],
]

let mostAtOnce = 0
const atOnce = new Map<EndpointConnection, number>()

/** Where each test has a request of its own: the name of the service is the first segment of the path. */
const behaviours: Record<string, { onRequest: OnRequest; greeting?: Buffer; http2?: object }> = {
  table: { onRequest: (connection, id) => connection.send(settings([HEADER_TABLE_SIZE, 0]), ...whole(id, 'fine')) },
  windows: { onRequest: () => {}, greeting: settings([INITIAL_WINDOW_SIZE, 5]) },
  one: {
    onRequest: (connection, id) => {
      const count = (atOnce.get(connection) ?? 0) + 1
      atOnce.set(connection, count)
      mostAtOnce = Math.max(mostAtOnce, count)
      setTimeout(() => {
        atOnce.set(connection, count - 1)
        connection.send(...whole(id, 'fine'))
      }, 20)
    },
    greeting: settings([MAX_CONCURRENT_STREAMS, 1]),
  },
  late: { onRequest: onLateRequest },
  flood: { onRequest: onFloodRequest, http2: { streamWindow: '64KiB', connectionWindow: '64KiB' } },
}
GREETINGS.forEach(([, greeting], i) => {
  behaviours[`greeting${i}`] = { onRequest: (connection, id) => connection.send(...whole(id, 'fine')), greeting }
})
const endpoints: Record<string, Endpoint> = {}
for (const [name, { onRequest, greeting }] of Object.entries(behaviours)) endpoints[name] = await startEndpoint(onRequest, greeting)
const rest = { protocol: 'http2', ejection: null, retry: null }
const names = Object.keys(behaviours)
const sluice: SluiceProcess = await startSluice(scope, {
  workers: 1,
  accessLog: null,
  listeners: { web: { address: '127.0.0.1:0' } },
  services: Object.fromEntries(
    names.map((name) => {
      const http2 = behaviours[name]?.http2
      return [name, { endpoints: [endpoints[name]?.address], ...(http2 === undefined ? {} : { http2 }), ...rest }]
    }),
  ),
  routes: Object.fromEntries(names.map((name) => [name, { match: { prefix: `/${name}` }, to: name }])),
})
const client = http1Client(sluice.port())
const connectionOf = (name: string, index = 0) => endpoints[name]?.connections[index] as EndpointConnection

GREETINGS.forEach(([what], i) => {
  test(`3.4: an endpoint that says ${what} first is a failure to connect, and is asked nothing`, async () => {
    const answer = await client.ask({ path: `/greeting${i}` })
    assert.deepEqual([answer.status, (JSON.parse(answer.body) as { code: string }).code], [502, 'connect_failed'])
    await waitFor('the end', () => connectionOf(`greeting${i}`).isClosed)
    assert.equal(connectionOf(`greeting${i}`).find(HEADERS, 1), undefined)
  })
})

test('3.4: the gateway begins with the preface and SETTINGS, and switches push off', async () => {
  await client.ask({ path: '/table' })
  const [first] = connectionOf('table').frames as [Frame]
  assert.deepEqual([first.type, first.flags, first.id], [SETTINGS, 0, 0])
  const values = new Map<number, number>()
  for (let at = 0; at < first.payload.length; at += 6) values.set(first.payload.readUInt16BE(at), first.payload.readUInt32BE(at + 2))
  assert.equal(values.get(2), 0, 'ENABLE_PUSH')
  assert.equal(values.get(3) ?? 0, 0, 'MAX_CONCURRENT_STREAMS is of no use without push')
  assert.ok(!values.has(8), 'ENABLE_CONNECT_PROTOCOL is for servers')
})

test('5.1.1: streams have odd ids that grow', async () => {
  for (let i = 0; i < 3; i++) await client.ask({ path: '/table' })
  const ids = connectionOf('table')
    .frames.filter(({ type }) => type === HEADERS)
    .map(({ id }) => id)
  assert.ok(ids.length >= 3)
  ids.forEach((id, i) => void assert.equal(id, 1 + 2 * i))
})

test('6.5.3: SETTINGS are acknowledged, and a smaller HEADER_TABLE_SIZE is told with the next request (RFC 7541 section 4.2)', async () => {
  await client.ask({ path: '/table' })
  const connection = connectionOf('table')
  await waitFor(
    'the acknowledgement',
    () => connection.find(SETTINGS, 0) !== undefined && connection.frames.some(({ type, flags }) => type === SETTINGS && flags === ACK),
  )
  assert.equal((await client.ask({ path: '/table', headers: { 'X-Field': 'v' } })).body, 'fine')
  const heads = connection.frames.filter(({ type }) => type === HEADERS)
  assert.equal(heads[1]?.payload[0], 0x20, 'the table has no size any more')
})

test('6.9.1: a body keeps to the window of its stream', async () => {
  const answer = client.ask({ path: '/windows', body: 'twelve bytes' })
  await waitFor('the first bytes', () => connectionOf('windows')?.find(DATA, 1) !== undefined)
  const connection = connectionOf('windows')
  const sent = () => Buffer.concat(connection.frames.filter(({ type }) => type === DATA).map(({ payload }) => payload)).toString()
  await inStep(connection)
  assert.equal(sent(), 'twelv')
  connection.send(settings([INITIAL_WINDOW_SIZE, 3]), frame(WINDOW_UPDATE, 0, 1, u32(2)))
  await inStep(connection)
  assert.equal(sent(), 'twelv', 'the window is at 0')
  connection.send(settings([INITIAL_WINDOW_SIZE, 0]), frame(WINDOW_UPDATE, 0, 1, u32(4)))
  await inStep(connection)
  assert.equal(sent(), 'twelve', 'it was at -3')
  connection.send(frame(WINDOW_UPDATE, 0, 1, u32(100)))
  await waitFor('the end', () => connection.frames.some(({ type, flags }) => type === DATA && flags === END_STREAM))
  assert.equal(sent(), 'twelve bytes')
  connection.send(...whole(1, 'fine'))
  assert.equal((await answer).body, 'fine')
})

/** When it returns, the gateway has read everything sent before. */
async function inStep(connection: EndpointConnection): Promise<void> {
  const count = () => connection.frames.filter(({ type, flags }) => type === PING && flags === ACK).length
  const before = count()
  connection.send(frame(PING, 0, 0, Buffer.alloc(8)))
  await waitFor('the answer to PING', () => count() > before)
}

test('5.1.2: no connection has more streams than the endpoint allows', async () => {
  const answers = await Promise.all(Array.from({ length: 6 }, () => client.ask({ path: '/one' })))
  assert.deepEqual(
    answers.map(({ body }) => body),
    Array.from({ length: 6 }, () => 'fine'),
  )
  assert.equal(mostAtOnce, 1)
})

// ---- 5.1: what is late ----

let firstId = 0
function onLateRequest(connection: EndpointConnection, id: number, fields: Record<string, string>): void {
  if (fields[':path'] === '/late/held') firstId = id
  else if (fields[':path'] === '/late/now') connection.send(head(firstId), last(firstId, 'too late'), ...whole(id, 'fine'))
  else connection.send(...whole(id, 'fine'))
}

test('5.1: an answer to a request that was given up is ignored, however many came after it', async () => {
  for (const others of [0, 300]) {
    const held = net.connect({ port: sluice.port(), host: '127.0.0.1' })
    firstId = 0
    held.write('GET /late/held HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await waitFor('the request', () => firstId !== 0)
    held.resetAndDestroy()
    const connection = connectionOf('late')
    await waitFor('the end of it', () => connection.find(RST_STREAM, firstId) !== undefined)
    // More than the gateway remembers streams one by one.
    for (let i = 0; i < others; i += 20) await Promise.all(Array.from({ length: 20 }, () => client.ask({ path: '/late/other' })))
    assert.equal((await client.ask({ path: '/late/now' })).body, 'fine')
    await inStep(connection)
    assert.equal(connection.find(GOAWAY, 0), undefined, `after ${others} requests`)
    assert.equal(endpoints['late']?.connections.length, 1)
  }
})

// ---- 6.9: an endpoint that does not keep to the windows ----

function onFloodRequest(connection: EndpointConnection, id: number): void {
  connection.send(head(id))
  const piece = frame(DATA, 0, id, Buffer.alloc(16_384))
  const more = () => {
    for (let i = 0; i < 64 && !connection.isClosed; i++) {
      if (connection.find(RST_STREAM, id) !== undefined || connection.find(GOAWAY, 0) !== undefined) return
      if (!connection.socket.write(piece)) return void connection.socket.once('drain', more)
    }
    setImmediate(more)
  }
  more()
}

test('6.9.1: an endpoint that sends more than its window while the client does not read is broken off', async () => {
  const slow = net.connect({ port: sluice.port(), host: '127.0.0.1' })
  slow.on('error', () => {})
  slow.pause()
  slow.write('GET /flood HTTP/1.1\r\nHost: a.test\r\n\r\n')
  const ended = () => connectionOf('flood')?.find(RST_STREAM, 1) ?? connectionOf('flood')?.find(GOAWAY, 0)
  await waitFor('the end', () => ended() !== undefined)
  assert.equal(codeOf(ended() as Frame), FLOW_CONTROL_ERROR)
  slow.destroy()
  assert.equal((await client.ask({ path: '/late/other' })).body, 'fine')
})

// ---- 9.2.1: TLS ----

test('9.2.1: an endpoint that renegotiates is given up', async (t) => {
  const authority = new Authority(t)
  const { cert, key } = authority.issue('app.test')
  let tookPart = false
  const server = tls.createServer({ cert, key, ALPNProtocols: ['h2'], maxVersion: 'TLSv1.2' }, (socket) => {
    serve(socket, (connection, id, fields) => {
      if (fields[':path'] !== '/again') return connection.send(...whole(id, 'fine'))

      socket.renegotiate({}, (error) => {
        tookPart ||= error === null
        connection.send(...whole(id, 'fine'))
      })
      // The request to renegotiate leaves with what is written next.
      connection.send(frame(PING, 0, 0, Buffer.alloc(8)))
    })
  })
  const address = await listen(t, server)
  const gateway = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { app: { endpoints: [address], tls: { ca: authority.path, serverName: 'app.test' }, ...rest } },
    routes: { all: { to: 'app' } },
  })
  const other = http1Client(gateway.port())
  assert.equal((await other.ask()).body, 'fine')
  assert.equal((await other.ask({ path: '/again' })).status, 502)
  assert.equal(tookPart, false)
  assert.equal((await other.ask()).body, 'fine')
})
