// Connections that nobody uses: what they cost, and that the moment of their end harms nobody.
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { CarefulClients } from './support/careful-clients.ts'
import { scrape } from './support/metrics.ts'
import { residentBytes } from './support/process-state.ts'

const IDLE = 5000

test('no request is given to a connection to an endpoint that is just closing because it was idle', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0', maxConnectionsPerClient: 0 } },
    services: { up: { endpoints: [upstream.address], pool: { idleTimeout: '20ms' } } },
    routes: { a: { to: 'up' } },
  })
  // A POST is not repeated when its connection dies under it, so every mistake shows.
  const request = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi'
  const clients = new CarefulClients({ port: sluice.port(), clients: 150, thinkMs: 30, request })
  await sleep(2000)
  const { answered, bad, lost } = await clients.stop()
  t.diagnostic(`${answered} answered, ${upstream.connections} connections to the endpoint`)
  assert(answered > 1000 && upstream.connections > 300)
  assert.deepEqual([...bad], [])
  assert.deepEqual(lost, [])
})

test(`${IDLE} idle keep-alive connections cost little, and nothing when they are gone`, { timeout: 120_000 }, async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  const sluice = await startSluice(t, {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0', maxConnectionsPerClient: 0 } },
    services: { up: { endpoints: [upstream.address] } },
    routes: { a: { to: 'up' } },
  })
  const sockets: net.Socket[] = []
  const open = async () => {
    const socket = net.connect({ port: sluice.port(), host: '127.0.0.1' })
    await new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.once('data', resolve)
      socket.write('GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: idle/1.0\r\nAccept: */*\r\n\r\n')
    })
    sockets.push(socket)
  }
  // The first thousand warm everything up.
  for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 50 }, open))
  const before = residentBytes(sluice.pid)
  for (let i = 0; i < IDLE / 50; i++) await Promise.all(Array.from({ length: 50 }, open))
  await sleep(500)
  const each = (residentBytes(sluice.pid) - before) / IDLE
  t.diagnostic(`${(each / 1024).toFixed(1)} KiB for each connection`)
  assert.equal((await scrape(sluice)).sum('sluice_connections_open'), IDLE + 1000)
  assert(each < 14 * 1024, `${each} bytes`)
  for (const socket of sockets) socket.destroy()
  await waitFor('the end', async () => (await scrape(sluice)).sum('sluice_connections_open') === 0)
})
