// WebSockets that end in every way leave nothing behind, and idle ones need little, whatever they have carried.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { createSeededRandom } from '../../src/base/clock.ts'
import { scrape } from '../e2e/operations/support/metrics.ts'
import { type Client, type Echo, echoOf, startClient, startEcho, type Version } from '../e2e/websocket/kit.ts'
import type { CleanupScope } from '../support/cleanup.ts'
import { freePort } from '../support/port.ts'
import { startSluice } from '../support/sluice.ts'
import { waitFor } from '../support/wait.ts'
import { assertNoSocketLeft, holding } from './leak.ts'

const ROUNDS = 2000
const AT_ONCE = 50
const KIB = 1024
const MIB = 1024 * 1024
/** What bench/scenarios/websocket.ts allows both legs of an idle WebSocket together. */
const IDLE_BYTES = 20_000
const IDLE = 4000
const LARGE = 300

function config(address: string, upstream: Version): object {
  const http2 = { maxConcurrentStreams: 2 * AT_ONCE }
  return {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0', maxConnectionsPerClient: 0, http2 } },
    services: {
      up: { endpoints: [address], protocol: upstream === 'h2' ? 'http2' : 'http1', pool: { maxConnections: 10_000, idleTimeout: '1s' } },
    },
    routes: { a: { to: 'up', websocket: { ping: '50ms', maxLifetime: '1h' } } },
  }
}

/** One WebSocket that ends in a way of its own. Resolves when the client knows. */
async function live(client: Client, echo: Echo, random: () => number): Promise<void> {
  const kind = Math.floor(random() * 6)
  if (kind === 0) return void (await client.refused('/no'))
  const socket = await client.open()
  const closed = once(socket, 'close')
  if (kind < 4) await Promise.race([closed, echoOf(socket, `message ${random()}`)])
  const server = echo.clients[Math.floor(random() * echo.clients.length)] as WebSocket
  if (kind === 1) socket.close(1000, 'done')
  else if (kind === 2) socket.terminate()
  else if (kind === 3) socket.send('x'.repeat(100_000), () => socket.terminate())
  else if (kind === 4) socket.close()
  else {
    // Any of those that are open, perhaps this one.
    if (random() < 0.5) server.terminate()
    else server.close(4000)
    await sleep(random() * 10)
    socket.terminate()
  }
  await closed
}

for (const [down, up] of [
  ['h1', 'h1'],
  ['h2', 'h1'],
  ['h1', 'h2'],
  ['h2', 'h2'],
] as const) {
  test(`${ROUNDS} WebSockets from ${down} to ${up} that are closed, cut off or refused leave nothing behind`, {
    timeout: 240_000,
  }, async (t) => {
    const echo = await startEcho(t, up)
    const sluice = await startSluice(t, config(echo.address, up))
    const before = holding(sluice.pid)
    const random = createSeededRandom(5)
    const scopes: (() => void | Promise<void>)[] = []
    const client = await startClient({ after: (fn) => void scopes.push(fn) }, down, sluice.url)
    const rush = async (count: number) => {
      let left = count
      const one = async () => {
        while (left-- > 0) {
          // A server that is told to cut off any may cut off one that is not open yet.
          await live(client, echo, random).catch((error: Error) =>
            assert.match(error.message, /closed|close|hang up|ECONNRESET|premature|status/),
          )
          echo.clients = echo.clients.filter((socket) => socket.readyState === socket.OPEN)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, one))
    }
    await rush(ROUNDS / 2)
    await sleep(500)
    const middle = holding(sluice.pid)
    await rush(ROUNDS / 2)
    await waitFor('the end of all at the server', () => echo.clients.every((socket) => socket.readyState === socket.CLOSED))
    for (const fn of scopes) await fn()
    await assertNoSocketLeft(sluice.pid, before)
    const after = holding(sluice.pid)
    const metrics = await scrape(sluice)
    t.diagnostic([before, middle, after].map((state) => `${Math.round(state.residentBytes / MIB)} MiB`).join(', '))
    assert.equal(metrics.sum('sluice_websockets_open'), 0)
    assert.equal(metrics.sum('sluice_requests_in_flight'), 0)
    assert.equal(metrics.sum('sluice_connections_open'), 0)
    assert.equal(metrics.sum('sluice_upstream_connections'), 0)
    assert.equal(metrics.sum('sluice_worker_restarts_total'), 0)
    assert.ok(
      !sluice.logs.some((line) => line.includes('"level":"error"')),
      sluice.logs.find((line) => line.includes('"level":"error"')),
    )
    assert.ok(after.residentBytes < middle.residentBytes + 32 * MIB, 'the second half needs no more memory than the first')
  })
}

const LOAD = join(import.meta.dirname, '../../bench/load')

/** Opens WebSockets in a process of its own, one message on each, and keeps them until it is told to end. */
async function openIdle(t: CleanupScope, port: number, count: number): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [join(LOAD, 'idle-clients.ts'), String(port), String(count), '1', 'websocket'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  t.after(() => void child.kill('SIGKILL'))
  const { value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
  assert.equal(value, 'ready')
  return async () => {
    child.stdin.end()
    await ended
  }
}

test(`${IDLE} idle WebSockets need less than ${IDLE_BYTES} bytes each, both legs together`, { timeout: 240_000 }, async (t) => {
  const port = await freePort()
  const server = spawn(process.execPath, [join(LOAD, 'websocket-echo.ts'), String(port)], { stdio: 'inherit' })
  t.after(() => void server.kill('SIGKILL'))
  const sluice = await startSluice(t, {
    ...config(`127.0.0.1:${port}`, 'h1'),
    routes: { a: { to: 'up' } },
  })
  const closeWarm = await openIdle(t, sluice.port(), 500)
  await closeWarm()
  await sleep(2000)
  const before = holding(sluice.pid)
  const close = await openIdle(t, sluice.port(), IDLE)
  await sleep(2000)
  const after = holding(sluice.pid)
  assert.equal((await scrape(sluice)).sum('sluice_websockets_open'), IDLE)
  const bytes = (after.residentBytes - before.residentBytes) / IDLE
  t.diagnostic(`${Math.round(bytes)} bytes each`)
  assert.ok(bytes < IDLE_BYTES, `${bytes}`)
  await close()
  await assertNoSocketLeft(sluice.pid, before)
})

test('a WebSocket that has carried a large message is as small as any other when it is idle', { timeout: 240_000 }, async (t) => {
  const echo = await startEcho(t, 'h1')
  const sluice = await startSluice(t, config(echo.address, 'h1'))
  const client = await startClient(t, 'h1', sluice.url)
  const message = Buffer.alloc(300 * KIB, 'abc')
  const sockets: WebSocket[] = []
  const open = (count: number) =>
    Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let i = 0; i < count / 10; i++) {
          const socket = await client.open()
          assert.ok((await echoOf(socket, message)).equals(message))
          sockets.push(socket)
        }
      }),
    )
  await open(100)
  await sleep(500)
  const before = holding(sluice.pid)
  await open(LARGE)
  await sleep(500)
  const after = holding(sluice.pid)
  const bytes = (after.residentBytes - before.residentBytes) / LARGE
  t.diagnostic(`${Math.round(bytes / KIB)} KiB each`)
  // A read buffer of each side would be 512 KiB; the rest is garbage that waits to be collected.
  assert.ok(bytes < 150 * KIB, `${bytes}`)
  for (const socket of sockets) socket.terminate()
})
