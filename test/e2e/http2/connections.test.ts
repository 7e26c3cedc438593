/** How connections of HTTP/2 clients live and end: their times, their orderly end, and what a shutdown does to them. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { sleep, startGateway, startScript } from '../http1/kit.ts'
import {
  ask,
  block,
  codeOf,
  connect,
  DATA,
  frame,
  GOAWAY,
  get,
  HEADERS,
  hello,
  openRaw,
  PING,
  PREFACE,
  post,
  RST_STREAM,
  SETTINGS,
  u32,
  WINDOW_UPDATE,
} from './kit.ts'

const NO_ERROR = 0
const CANCEL = 8
const ENHANCE_YOUR_CALM = 11

const scope = { after }
const upstream = await startScript(scope)
const hasty = { timeouts: { head: '300ms', body: '300ms', send: '400ms', idle: '300ms' } }
const gateway = await startGateway(scope, [upstream.address], {
  more: {
    listeners: {
      hasty: { address: '127.0.0.1:0', ...hasty },
      // For those who keep coming: the time between two steps may become three times as long on a busy machine.
      patient: { address: '127.0.0.1:0', timeouts: { body: '1200ms', send: '1200ms' } },
      few: { address: '127.0.0.1:0', maxRequestsPerConnection: 3 },
    },
    routes: { all: { to: 'up' }, big: { match: { path: '/big' }, respond: { body: 'x'.repeat(500_000) } } },
  },
})
const port = gateway.port('hasty')

beforeEach(() => upstream.reset())

const answerWhenAsked = () => {
  const waiting: (() => void)[] = []
  upstream.answer = (_, connection) => void waiting.push(() => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  return waiting
}

test('a connection that is idle ends in order', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), get(1))
  await client.frame((one) => one.type === DATA)
  const goaway = await client.frame((one) => one.type === GOAWAY)
  assert.deepEqual([codeOf(goaway!), goaway!.payload.readUInt32BE(0)], [NO_ERROR, 1])
  assert.equal(await client.end(), 'closed')
})

test('a connection with a request under way is not idle, and control frames do not keep one alive', async (t) => {
  const waiting = answerWhenAsked()
  const busy = await openRaw(t, port)
  busy.send(hello(), get(1))
  const quiet = await openRaw(t, port)
  quiet.send(hello())
  const isTold = () => quiet.frames.some((one) => one.type === GOAWAY)
  for (let i = 0; i < 80 && !(isTold() && i >= 8); i++) {
    await sleep(100)
    if (quiet.ended === null) quiet.send(frame(PING, 0, 0, '12345678'))
  }
  assert.ok(isTold())
  assert.equal(
    busy.frames.some((one) => one.type === GOAWAY),
    false,
  )
  waiting[0]?.()
  assert.ok((await busy.frame((one) => one.type === DATA)) !== null)
})

test('a client that says nothing, or half a head, is not waited for', async (t) => {
  for (const begin of [Buffer.alloc(0), Buffer.from(PREFACE.slice(0, 5)), Buffer.from(PREFACE)]) {
    const client = await openRaw(t, port)
    if (begin.length > 0) client.send(begin)
    await client.end()
  }
  const half = await openRaw(t, port)
  half.send(hello(), frame(HEADERS, 1, 1, block()))
  const goaway = () => half.frames.find((one) => one.type === GOAWAY)
  for (let i = 0; i < 80 && goaway() === undefined && half.ended === null; i++) {
    await sleep(100)
    half.send(frame(9, 0, 1, ''))
  }
  assert.equal(codeOf(goaway()!), ENHANCE_YOUR_CALM)
})

test('a body that stops coming gets 408, and the connection goes on', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), post(1), frame(DATA, 0, 1, 'begin'))
  const head = await client.frame((one) => one.type === HEADERS && one.id === 1)
  assert.ok(head!.payload.includes('408'))
  assert.equal(codeOf((await client.frame((one) => one.type === RST_STREAM && one.id === 1))!), NO_ERROR)
  client.send(get(3))
  assert.ok((await client.frame((one) => one.type === HEADERS && one.id === 3)) !== null)
})

test('a body that comes slowly but steadily is waited for', async (t) => {
  const client = await openRaw(t, gateway.port('patient'))
  client.send(hello(), post(1))
  for (let i = 0; i < 5; i++) {
    await sleep(400)
    client.send(frame(DATA, 0, 1, 'x'))
  }
  client.send(frame(DATA, 1, 1, 'x'))
  assert.ok((await client.frame((one) => one.type === HEADERS && one.id === 1)) !== null)
  assert.equal(upstream.requests[0]?.body, 'xxxxxx')
})

test('a response that the client gives no window for is given up after a while', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello([4, 100]), get(1, '/big'))
  assert.equal(codeOf((await client.frame((one) => one.type === RST_STREAM && one.id === 1))!), CANCEL)
  client.send(get(3))
  assert.ok((await client.frame((one) => one.type === HEADERS && one.id === 3)) !== null)
})

test('a response that is taken slowly but steadily is not', async (t) => {
  const client = await openRaw(t, gateway.port('patient'))
  client.send(hello(), frame(WINDOW_UPDATE, 0, 0, u32(1_000_000)), get(1, '/big'))
  for (let i = 0; i < 6; i++) {
    await sleep(400)
    client.send(frame(WINDOW_UPDATE, 0, 1, u32(80_000)))
  }
  const last = await client.frame((one) => (one.type === DATA && (one.flags & 1) === 1) || one.type === RST_STREAM)
  assert.equal(last?.type, DATA)
})

test('after its last request a connection says goodbye, and answers what was on its way', async (t) => {
  const client = await openRaw(t, gateway.port('few'))
  client.send(hello(), get(1), get(3), get(5), get(7))
  const goodbye = () => client.frames.filter((one) => one.type === GOAWAY).map((one) => one.payload.readUInt32BE(0))
  await client.frame((one) => one.type === PING)
  assert.deepEqual(goodbye(), [2 ** 31 - 1])
  client.send(get(9))
  await waitFor('five answers', () => client.frames.filter((one) => one.type === DATA).length === 5)
  client.send(frame(PING, 1, 0, client.frames.find((one) => one.type === PING)!.payload))
  await waitFor('the second', () => goodbye().length === 2)
  assert.deepEqual(goodbye(), [2 ** 31 - 1, 9])
  assert.equal(await client.end(), 'closed')
})

test("Node's client takes a connection's end for what it is", async (t) => {
  for (let round = 0; round < 3; round++) {
    const session = connect(t, gateway.port('few'))
    for (let i = 0; i < 3; i++) assert.equal((await ask(session)).status, 200)
    await waitFor('the end', () => session.closed)
  }
})

test('a client that leaves ends its attempts', async (t) => {
  upstream.answer = () => {}
  const client = await openRaw(t, port)
  client.send(hello(), get(1), get(3))
  await waitFor('the requests', () => upstream.requests.length === 2)
  client.socket.destroy()
  await waitFor('the end of both', () => upstream.log.every((connection) => connection.closedMs !== null))
})

test('a shutdown loses no request: what is under way is answered, what comes between the GOAWAYs too', async (t) => {
  const slow = await startUpstream(t, (_, response) => void setTimeout(() => response.end('late'), 600))
  const ending = await startGateway(t, [slow.address])
  const client = await openRaw(t, ending.port())
  client.send(hello(), get(1))
  await client.frame((one) => one.type === SETTINGS)
  await sleep(100)
  const stopped = ending.stop()
  const first = await client.frame((one) => one.type === GOAWAY)
  assert.equal(first!.payload.readUInt32BE(0), 2 ** 31 - 1)
  client.send(get(3))
  await sleep(50)
  client.send(frame(PING, 1, 0, client.frames.find((one) => one.type === PING)!.payload))
  const second = await client.frame((one) => one.type === GOAWAY && one.payload.readUInt32BE(0) !== 2 ** 31 - 1)
  assert.equal(second!.payload.readUInt32BE(0), 3)
  for (const id of [1, 3]) {
    const last = await client.frame((one) => one.type === DATA && one.id === id)
    assert.equal(last!.payload.toString(), 'late')
  }
  assert.equal(await client.end(), 'closed')
  assert.deepEqual(await stopped, { code: 0, signal: null })
})

test('a shutdown does not wait for clients that do not answer', async (t) => {
  const ending = await startGateway(t, [upstream.address])
  const client = await openRaw(t, ending.port())
  client.send(hello(), get(1))
  await client.frame((one) => one.type === DATA)
  const from = performance.now()
  assert.deepEqual(await ending.stop(), { code: 0, signal: null })
  assert.ok(performance.now() - from < 15_000)
  assert.equal(client.frames.filter((one) => one.type === GOAWAY).length, 2)
})

test('a reload changes what the next request on a connection gets', async (t) => {
  const config = (body: string) => ({
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    routes: { all: { respond: { body } } },
  })
  const changing = await startGateway(t, [upstream.address], { more: config('one') })
  const session = connect(t, changing.port())
  assert.equal((await ask(session)).body, 'one')
  assert.equal((await changing.reload(config('two'))).status, 200)
  assert.equal((await ask(session)).body, 'two')
})
