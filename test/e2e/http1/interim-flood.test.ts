/** Interim responses without end, for a client that does not read: they are not owed to it, and cost no memory. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { waitFor } from '../../support/wait.ts'
import { get, HEADERS, hello, openRaw, SETTINGS } from '../http2/kit.ts'
import { OK, openClient, request, residentMiB, startGateway, startScript } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], { more: { workers: 1 } })
const BYTES = 100 * 1024 ** 2
const EARLY = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: <${'x'.repeat(1000)}>\r\n\r\n`.repeat(60), 'latin1')
let isSent = false

beforeEach(() => {
  upstream.reset()
  isSent = false
  upstream.answer = async (_, { socket }) => {
    for (let sent = 0; sent < BYTES && !socket.destroyed; sent += EARLY.length) {
      if (!socket.write(EARLY)) await new Promise((resolve) => socket.once('drain', resolve))
    }
    socket.write(OK)
    isSent = true
  }
})

async function assertBounded(before: number): Promise<void> {
  await waitFor('the endpoint to have said all', () => isSent, { timeoutMs: 20_000 })
  const held = (await residentMiB(gateway.pid)) - before
  assert.ok(held < 50, `${held} MiB`)
}

test('a client of HTTP/1.1 gets the final response when it reads again', async (t) => {
  const client = await openClient(t, gateway.port())
  client.socket.pause()
  const before = await residentMiB(gateway.pid)
  client.send(request())
  await assertBounded(before)
  client.socket.resume()
  await client.until(() => client.text.endsWith('ok'))
  assert.match(client.text, /^HTTP\/1\.1 103 Early Hints\r\n/)
  assert.equal(client.text.split('HTTP/1.1 200 ').length, 2)
})

test('a client of HTTP/2 gets the final response when it reads again', async (t) => {
  const client = await openRaw(t, gateway.port())
  // Without a compression table each of them is as long as it is.
  client.send(hello([1, 0]))
  await client.frame((one) => one.type === SETTINGS)
  client.socket.pause()
  const before = await residentMiB(gateway.pid)
  client.send(get(1))
  await assertBounded(before)
  client.socket.resume()
  const last = await client.frame((one) => one.id === 1 && (one.flags & 1) !== 0)
  assert.ok(last !== null)
  assert.ok(client.frames.filter((one) => one.type === HEADERS).length > 10)
})
