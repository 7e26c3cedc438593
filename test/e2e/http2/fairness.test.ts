/** One client that sends as much as it can, all of it allowed: the others of its thread are served in between. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openClient, request, startGateway, startScript } from '../http1/kit.ts'
import { DATA, frame, get, HEADERS, hello, openRaw, post, type RawClient } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], {
  more: { workers: 1, routes: { empty: { match: { path: '/empty' }, respond: { status: 204 } }, all: { to: 'up' } } },
})

/** How many requests of somebody else are answered until this is over. */
async function servedUntil(t: { after(fn: () => void): void }, isOver: () => boolean): Promise<number> {
  const bystander = await openClient(t, gateway.port())
  let served = 0
  while (!isOver()) {
    bystander.send(request('GET', '/empty'))
    await bystander.response()
    served++
  }
  return served
}

const isAnswered = (client: RawClient, id: number) => client.frames.some((one) => one.type === HEADERS && one.id === id)

test('20,000 requests in the first bytes of a connection', async (t) => {
  const client = await openRaw(t, gateway.port())
  const last = 2 * 20_000 - 1
  const bytes = [hello()]
  for (let id = 1; id <= last; id += 2) bytes.push(get(id, '/empty'))
  client.socket.write(Buffer.concat(bytes))
  const served = await servedUntil(t, () => client.ended !== null || client.frames.at(-1)?.id === last)
  t.diagnostic(`${served} answers`)
  assert.equal(client.frames.filter((one) => one.type === HEADERS).length, 20_000)
  assert.ok(served >= 50, `${served} answers`)
})

test('a body in 60,000 frames of one byte', async (t) => {
  const client = await openRaw(t, gateway.port())
  client.socket.write(Buffer.concat([hello(), post(1)]))
  const one = frame(DATA, 0, 1, 'x')
  client.socket.write(Buffer.concat([...Array.from({ length: 60_000 }, () => one), frame(DATA, 1, 1, 'y')]))
  const served = await servedUntil(t, () => client.ended !== null || isAnswered(client, 1))
  t.diagnostic(`${served} answers`)
  assert.equal(client.ended, null)
  assert.match(upstream.received(), /\r\n\r\n/)
  const body = upstream.requests[0]!.body
  assert.equal(body.length, 60_001)
  assert.ok(body.endsWith('xy'))
  assert.ok(served > 0)
})
