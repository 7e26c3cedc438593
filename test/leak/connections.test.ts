// Connections that end in every bad way leave nothing behind: no descriptor, no CLOSE-WAIT, no exchange, no memory.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import http from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSeededRandom } from '../../src/base/clock.ts'
import { scrape } from '../e2e/operations/support/metrics.ts'
import { type SluiceProcess, startSluice } from '../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../support/upstream.ts'
import { startUpstreamProcess } from '../support/upstream-process.ts'
import { waitFor } from '../support/wait.ts'
import { loadSeconds, runWrk } from '../support/wrk.ts'
import { assertNoSocketLeft, holding } from './leak.ts'

const CONNECTIONS = 10_000
const AT_ONCE = 200
const MIB = 1024 * 1024

const LEAKY_PROGRAM = `
const sockets = []
const server = require('net').createServer({ allowHalfOpen: true }, (socket) => { sockets.push(socket); socket.on('error', () => {}); socket.resume() })
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
`

test('the check sees a process that keeps what its clients have left', async (t) => {
  const child = spawn(process.execPath, ['-e', LEAKY_PROGRAM], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => void child.kill('SIGKILL'))
  const port = Number(await new Promise<string>((resolve) => child.stdout.setEncoding('utf8').once('data', resolve)))
  const before = holding(child.pid!)
  for (let i = 0; i < 5; i++) {
    const socket = net.connect(port, '127.0.0.1')
    await new Promise((resolve) => socket.on('connect', resolve))
    socket.end()
  }
  await assert.rejects(assertNoSocketLeft(child.pid!, before, 1000), /5 in CLOSE-WAIT/)
})

/** One client that misbehaves at random. Resolves when its socket is closed on our side. */
function misbehave(port: number, random: () => number): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: random() < 0.3 })
    const kind = Math.floor(random() * 9)
    const delayMs = random() * 20
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    if (random() < 0.7) socket.resume()
    const later = (run: () => void) => setTimeout(run, delayMs)
    socket.on('connect', () => {
      if (kind === 0) later(() => socket.resetAndDestroy())
      else if (kind === 1) {
        socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n')
        later(() => socket.resetAndDestroy())
      } else if (kind === 2) {
        socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
        later(() => socket.destroy())
      } else if (kind === 3) {
        // Half a head, then a FIN.
        socket.write('GET / HTT')
        later(() => socket.end())
      } else if (kind === 4) {
        socket.end('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
      } else if (kind === 5) {
        socket.write('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc')
        later(() => (random() < 0.5 ? socket.resetAndDestroy() : socket.end()))
      } else if (kind === 6) {
        socket.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
        later(() => socket.destroy())
      } else if (kind === 7) {
        // Idle, then gone.
        socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        later(() => socket.end())
      } else {
        socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /large HTTP/1.1\r\nHost: x\r\n\r\n')
        later(() => socket.destroy())
      }
      // Whoever only half closed goes away in the end.
      setTimeout(() => socket.destroy(), delayMs + 200)
    })
  })
}

async function rush(sluice: SluiceProcess, total: number, random: () => number): Promise<void> {
  let left = total
  const client = async () => {
    while (left-- > 0) await misbehave(sluice.port(), random)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
}

const config = (address: string) => ({
  workers: 2,
  accessLog: null,
  listeners: { web: { address: '127.0.0.1:0', maxConnectionsPerClient: 0 } },
  services: { up: { endpoints: [address], ejection: null, pool: { idleTimeout: '1s' } } },
  routes: { a: { to: 'up' } },
})

test('10,000 connections that are aborted, half-closed, left idle or left in the middle leave nothing behind', {
  timeout: 240_000,
}, async (t) => {
  const large = Buffer.alloc(2 * MIB, 'x')
  const upstream = await startUpstream(t, (request, response) => {
    request.resume()
    if (request.url === '/large') response.end(large)
    else if (request.url === '/slow') setTimeout(() => response.end('slow'), 50)
    else response.end('ok')
  })
  const sluice = await startSluice(t, config(upstream.address))
  const before = holding(sluice.pid)
  const random = createSeededRandom(7)
  await rush(sluice, CONNECTIONS / 2, random)
  await assertNoSocketLeft(sluice.pid, before)
  const middle = holding(sluice.pid)
  await rush(sluice, CONNECTIONS / 2, random)
  await assertNoSocketLeft(sluice.pid, before)
  const after = holding(sluice.pid)
  const metrics = await scrape(sluice)
  t.diagnostic(`${[before, middle, after].map((state) => `${Math.round(state.residentBytes / MIB)} MiB`).join(', ')}`)
  assert.equal(metrics.sum('sluice_requests_in_flight'), 0)
  assert.equal(metrics.sum('sluice_connections_open'), 0)
  assert.equal(metrics.sum('sluice_upstream_connections'), 0)
  assert(metrics.sum('sluice_connections_accepted_total') >= CONNECTIONS * 0.99)
  assert.equal(metrics.sum('sluice_worker_restarts_total'), 0)
  assert(
    !sluice.logs.some((line) => line.includes('"level":"error"')),
    sluice.logs.find((line) => line.includes('"level":"error"')),
  )
  assert(after.residentBytes < middle.residentBytes + 48 * MIB, 'the second half needs no more memory than the first')
})

test('upstreams that die at random moments leave nothing behind', { timeout: 240_000 }, async (t) => {
  const random = createSeededRandom(11)
  const upstream = await startRawUpstream(t, (socket) => {
    const kind = Math.floor(random() * 8)
    const die = () => setTimeout(() => (random() < 0.5 ? socket.resetAndDestroy() : socket.destroy()), random() * 15)
    socket.on('end', () => socket.end())
    if (kind === 0) return void die()
    socket.once('data', () => {
      if (kind === 1) socket.destroy()
      else if (kind === 2) socket.resetAndDestroy()
      else if (kind === 3) {
        socket.write('HTTP/1.1 200 OK\r\nContent-')
        die()
      } else if (kind === 4) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc')
        die()
      } else if (kind === 5) {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
        die()
      } else if (kind === 6) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        die()
      } else {
        socket.end('HTTP/1.0 200 OK\r\n\r\nuntil the end')
      }
    })
  })
  const sluice = await startSluice(t, config(upstream.address))
  const before = holding(sluice.pid)
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE })
  let left = 4000
  const statuses = new Map<string, number>()
  const client = async () => {
    while (left-- > 0) {
      const result = await new Promise<string>((resolve) => {
        let hasBegun = false
        const request = http.request(
          { port: sluice.port(), host: '127.0.0.1', agent, method: left % 3 === 0 ? 'POST' : 'GET' },
          (response) => {
            hasBegun = true
            response.resume()
            response.on('close', () => resolve(response.complete ? String(response.statusCode) : 'cut off'))
          },
        )
        request.on('error', (error) => resolve(hasBegun ? 'cut off' : error.message))
        request.end(left % 3 === 0 ? 'body' : undefined)
      })
      statuses.set(result, (statuses.get(result) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  agent.destroy()
  t.diagnostic(JSON.stringify([...statuses]))
  // A response that is broken off ends in an RST, which may overtake what there was of it.
  assert.deepEqual([...statuses.keys()].filter((result) => result !== 'read ECONNRESET').sort(), ['200', '502', 'cut off'])
  await assertNoSocketLeft(sluice.pid, before)
  const metrics = await scrape(sluice)
  assert.equal(metrics.sum('sluice_requests_in_flight'), 0)
  assert.equal(metrics.sum('sluice_upstream_connections'), 0)
  await waitFor('the end of the connections at the upstream', () => upstream.open === 0)
})

test('hours of traffic in short: memory after a long load is what it was after a short one', { timeout: 240_000 }, async (t) => {
  const upstream = await startUpstreamProcess(t, { body: 'x'.repeat(1000) })
  const sluice = await startSluice(t, config(upstream.address))
  const before = holding(sluice.pid)
  const figures: number[] = []
  for (let round = 0; round < 4; round++) {
    await runWrk(sluice.url, { connections: 64, seconds: Math.max(2, loadSeconds(8) / 4) })
    figures.push(holding(sluice.pid).residentBytes)
  }
  t.diagnostic(figures.map((bytes) => `${Math.round(bytes / MIB)} MiB`).join(', '))
  assert(figures[3]! < figures[1]! + 24 * MIB, figures.join(', '))
  await sleep(1200)
  await assertNoSocketLeft(sluice.pid, before)
})
