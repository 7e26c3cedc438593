/** What a client can do to a connection of its own, and that it does no more than that. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { waitFor } from '../../support/wait.ts'
import { residentMiB, sleep, startGateway, startScript } from '../http1/kit.ts'
import {
  ask,
  block,
  CONTINUATION,
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
  post,
  type RawClient,
  RST_STREAM,
  SETTINGS,
  u32,
  WINDOW_UPDATE,
} from './kit.ts'

const PROTOCOL_ERROR = 1
const FLOW_CONTROL_ERROR = 3
const COMPRESSION_ERROR = 9
const ENHANCE_YOUR_CALM = 11

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], {
  more: {
    routes: {
      all: { to: 'up' },
      local: { match: { prefix: '/local' }, respond: { body: 'x'.repeat(1000) } },
      heads: { match: { path: '/heads' }, respond: { status: 204, headers: { 'x-long': 'x'.repeat(4000) } } },
    },
  },
})
const port = gateway.port()
const bystander = connect(scope, port)
before(async () => void (await ask(bystander)))
beforeEach(() => upstream.reset())

/** The count of attacks of this kind that the gateway has seen. */
async function countOf(kind: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  return Number(new RegExp(`sluice_http2_attacks_total\\{[^}]*kind="${kind}"[^}]*\\} (\\d+)`).exec(text)?.[1] ?? 0)
}

/** Sends until the connection ends; it ends with this code, is counted, and nobody else notices. */
async function assertCalmed(client: RawClient, kind: string, code: number, bytesOf: (i: number) => Buffer, most = 20_000): Promise<void> {
  const countBefore = await countOf(kind)
  for (let i = 0; i < most && client.ended === null; i++) {
    const bytes = bytesOf(i)
    client.send(bytes)
    // What the gateway gets behind its GOAWAY it reads for a while only: then comes an RST that can overtake it.
    if (bytes.length > 1000) await sleep(1)
    else if (i % 50 === 0 || client.socket.writableLength > 100_000) await new Promise((resolve) => setImmediate(resolve))
    if (client.frames.some((one) => one.type === GOAWAY)) break
  }
  const goaway = await client.frame((one) => one.type === GOAWAY)
  assert.equal(goaway === null ? null : codeOf(goaway), code)
  await client.end()
  await waitFor(`the attack to be counted as ${kind}`, async () => (await countOf(kind)) === countBefore + 1)
  assert.equal((await ask(bystander, { ':path': '/local' })).status, 200)
}

test('rapid reset', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello())
  upstream.answer = () => {}
  await assertCalmed(client, 'rapid_reset', ENHANCE_YOUR_CALM, (i) =>
    Buffer.concat([get(1 + 2 * i), frame(RST_STREAM, 0, 1 + 2 * i, u32(8))]),
  )
  assert.ok(upstream.log.length < 400, `${upstream.log.length} connections`)
})

test('resets that the client makes us do', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello())
  upstream.answer = () => {}
  await assertCalmed(client, 'rapid_reset', ENHANCE_YOUR_CALM, (i) =>
    Buffer.concat([post(1 + 2 * i), frame(WINDOW_UPDATE, 0, 1 + 2 * i, u32(0))]),
  )
})

test('malformed requests, one after the other', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello())
  await assertCalmed(client, 'rapid_reset', ENHANCE_YOUR_CALM, (i) =>
    frame(HEADERS, 5, 1 + 2 * i, block('GET', '/', ['connection', 'close'])),
  )
})

test('a header block without end', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), frame(HEADERS, 1, 1, block()))
  await assertCalmed(client, 'continuation_flood', ENHANCE_YOUR_CALM, () => frame(CONTINUATION, 0, 1, Buffer.alloc(16_000, 0x82)))
})

test('a header block in crumbs', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), frame(HEADERS, 1, 1, block()))
  await assertCalmed(client, 'continuation_flood', ENHANCE_YOUR_CALM, () => frame(CONTINUATION, 0, 1))
})

for (const [what, bytesOf] of [
  ['PING', () => frame(PING, 0, 0, '12345678')],
  ['SETTINGS', () => frame(SETTINGS, 0, 0)],
  ['PRIORITY', () => frame(2, 0, 1, Buffer.alloc(5))],
  ['WINDOW_UPDATE', () => frame(WINDOW_UPDATE, 0, 0, u32(1))],
  ['unknown frames', () => frame(77, 0, 0)],
] as const) {
  test(`a flood of ${what}`, async (t) => {
    const client = await openRaw(t, port)
    client.send(hello())
    await assertCalmed(client, 'control_flood', ENHANCE_YOUR_CALM, bytesOf)
  })
}

test('a flood of empty DATA', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), post(1))
  await assertCalmed(client, 'control_flood', ENHANCE_YOUR_CALM, () => frame(DATA, 0, 1))
})

test('windows that overflow', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello())
  await assertCalmed(client, 'window_overflow', FLOW_CONTROL_ERROR, () => frame(WINDOW_UPDATE, 0, 0, u32(2 ** 31 - 1)))
})

test('an HPACK bomb: small on the wire, large in memory', async (t) => {
  const client = await openRaw(t, port)
  // One large field goes into the table; each further byte then stands for 3,000.
  const large = Buffer.concat([
    Buffer.from([0x40, 1, 0x78, 0x7f, 0x80 + ((3000 - 127) % 128), Math.floor((3000 - 127) / 128)]),
    Buffer.alloc(3000, 0x61),
  ])
  client.send(hello(), frame(HEADERS, 5, 1, Buffer.concat([block(), large])))
  await client.frame((one) => one.type === HEADERS && one.id === 1)
  const before = await residentMiB(gateway.pid)
  for (let i = 1; i <= 50; i++) {
    client.send(frame(HEADERS, 5, 1 + 2 * i, Buffer.concat([block(), Buffer.alloc(10_000, 0xbe)])))
    const answer = await client.frame((one) => one.id === 1 + 2 * i)
    assert.ok(answer !== null)
    if (answer.type === HEADERS) assert.ok(answer.payload.includes('431') || answer.payload.length > 0)
  }
  assert.ok((await residentMiB(gateway.pid)) - before < 60)
  assert.equal(upstream.requests.length, 1)
})

test('compression that cannot be undone ends the connection', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), frame(HEADERS, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])))
  const goaway = await client.frame((one) => one.type === GOAWAY)
  assert.equal(codeOf(goaway!), COMPRESSION_ERROR)
  await client.end()
})

test('frames that break the protocol end the connection, and what was under way ends with it', async (t) => {
  upstream.answer = () => {}
  const client = await openRaw(t, port)
  client.send(hello(), get(1))
  await waitFor('the request', () => upstream.requests.length === 1)
  client.send(frame(CONTINUATION, 4, 1, 'x'))
  assert.equal(codeOf((await client.frame((one) => one.type === GOAWAY))!), PROTOCOL_ERROR)
  await client.end()
  await waitFor('the attempt to end', () => upstream.log[0]!.closedMs !== null)
})

test('a client that asks and asks and reads nothing is not read any more', async (t) => {
  const client = await openRaw(t, port)
  // Without a compression table each answer has its 4,000 bytes of head.
  client.send(hello([1, 0]))
  await client.frame((one) => one.type === SETTINGS)
  client.socket.pause()
  const before = await residentMiB(gateway.pid)
  const asked = get(1, '/heads')
  const hasRoom = () => client.socket.writableLength < 500_000
  for (let i = 0; i < 40_000 && hasRoom(); i++) {
    const next = Buffer.from(asked)
    next.writeUInt32BE(1 + 2 * i, 5)
    client.socket.write(next)
    for (let tries = 0; tries < 100 && !hasRoom(); tries++) await sleep(10)
  }
  for (let i = 0; i < 10; i++) {
    await sleep(200)
    const held = (await residentMiB(gateway.pid)) - before
    assert.ok(held < 40, `${held} MiB`)
  }
  assert.equal((await ask(bystander, { ':path': '/local' })).status, 200)
  // It goes on where it was when the client reads again.
  client.socket.resume()
  await waitFor('an answer to the last', () => client.frames.filter((one) => one.type === HEADERS).length > 5000)
})
