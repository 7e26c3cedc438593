// Limits of a service as connections of TCP listeners meet them: concurrency and circuit breaker.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { echoOrEnd, exchange, openClient, startEcho, startService, type TcpClient } from './kit.ts'

function configOf(endpoint: string, service: object, more: object = {}): object {
  return {
    workers: 1,
    listeners: { tcp: { address: '127.0.0.1:0', protocol: 'tcp', to: 's' } },
    services: { s: { endpoints: [endpoint], ...service } },
    ...more,
  }
}

async function sample(sluice: SluiceProcess, line: RegExp): Promise<number> {
  const text = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  return Number(line.exec(text)?.[1] ?? 0)
}

/** Connected, with its first byte echoed. */
async function openServed(t: TestContext, port: number): Promise<TcpClient> {
  const client = await openClient(t, port)
  client.socket.write('x')
  await waitFor('the echo', () => client.received === 'x')
  return client
}

test('a service has so many connections and no more; one that is one too many gets an RST, and is counted and logged', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configOf(echo.address, { concurrency: { max: 2, queue: 0 } }))
  const clients = [await openServed(t, sluice.port()), await openServed(t, sluice.port())]
  assert.equal((await exchange(t, sluice.port(), 'x')).how, 'ECONNRESET')
  assert.equal(echo.count, 2)
  assert.equal(await sample(sluice, /^sluice_shed_total\{importance="normal",name="s",reason="queue-full",scope="service"\} (\d+)$/m), 1)
  assert.equal(await sample(sluice, /^sluice_tcp_connections_total\{listener="tcp",result="concurrency_limit"\} (\d+)$/m), 1)
  const line = await waitFor('its line', () => sluice.logs.find((text) => text.includes('"errorCode":"concurrency_limit"')))
  assert.deepEqual([JSON.parse(line).flags, JSON.parse(line).status, JSON.parse(line).service], ['CL', 503, 's'])
  // A place is free when both directions have ended, and when one is broken off.
  clients[0]?.socket.end()
  assert.equal(await clients[0]?.closed, 'end')
  const third = await openServed(t, sluice.port())
  third.socket.resetAndDestroy()
  await waitFor('its place', async () => (await exchange(t, sluice.port(), 'y')).received === 'y')
})

test('with a queue, a connection waits unread until a place is free, and loses nothing of what it said', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configOf(echo.address, { concurrency: { max: 1, queue: 2, queueTimeout: '20s' } }))
  const first = await openServed(t, sluice.port())
  const text = 'z'.repeat(200_000)
  const [second, third] = [exchange(t, sluice.port(), text), exchange(t, sluice.port(), 'short')]
  await waitFor('both to wait', async () => (await sample(sluice, /^sluice_concurrency_waiting\{name="s",scope="service"\} (\d+)$/m)) === 2)
  assert.equal((await exchange(t, sluice.port(), 'x')).how, 'ECONNRESET')
  assert.equal(echo.count, 1)
  first.socket.end()
  const answers = await Promise.all([second, third])
  assert.deepEqual(
    answers.map(({ received }) => received.length),
    [200_000, 5],
  )
  assert.ok(answers.every(({ how }) => how === 'end'))
  await waitFor('all places', async () => (await sample(sluice, /^sluice_concurrency_in_flight\{name="s",scope="service"\} (\d+)$/m)) === 0)
})

test('who waits too long gets an RST; a reload that takes the limit away lets all that wait go on', async (t) => {
  const echo = await startEcho(t)
  const config = (queueTimeout: string) => configOf(echo.address, { concurrency: { max: 1, queue: 5, queueTimeout } })
  const sluice = await startSluice(t, config('200ms'))
  const first = await openServed(t, sluice.port())
  assert.equal((await exchange(t, sluice.port(), 'x')).how, 'ECONNRESET')
  assert.equal(await sample(sluice, /^sluice_tcp_connections_total\{listener="tcp",result="queue_timeout"\} (\d+)$/m), 1)
  assert.equal((await sluice.reload(config('20s'))).status, 200)
  const waiting = exchange(t, sluice.port(), 'go on')
  await sleep(100)
  assert.equal((await sluice.reload(configOf(echo.address, {}))).status, 200)
  assert.deepEqual(await waiting, { received: 'go on', how: 'end' })
  first.socket.end('!')
  assert.equal(await first.closed, 'end')
  assert.equal(first.received, 'x!')
})

test('the limit is one for all workers', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configOf(echo.address, { concurrency: { max: 5, queue: 0 } }, { workers: 2 }))
  const results = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const client = await openClient(t, sluice.port())
      client.socket.write('x')
      await echoOrEnd(client, 'x')
      return client
    }),
  )
  assert.equal(results.filter(({ received }) => received === 'x').length, 5)
})

test('connections that an open breaker turns away are counted as requests are', async (t) => {
  const refusing = await startService(t, () => undefined)
  await refusing.close()
  const breaker = { errorRate: '50%', minRequests: 2, openFor: '60s' }
  const sluice = await startSluice(t, configOf(refusing.address, { breaker, ejection: null }))
  for (let i = 0; i < 5; i++) assert.equal((await exchange(t, sluice.port(), 'x')).how, 'ECONNRESET')
  assert.equal(await sample(sluice, /^sluice_breaker_rejected_total\{service="s"\} (\d+)$/m), 3)
  assert.equal(await sample(sluice, /^sluice_tcp_connections_total\{listener="tcp",result="breaker_open"\} (\d+)$/m), 3)
  const line = await waitFor('its line', () => sluice.logs.find((text) => text.includes('"errorCode":"breaker_open"')))
  assert.equal(JSON.parse(line).flags, 'CB')
})
