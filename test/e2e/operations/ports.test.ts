// A port is looked at before it is shared: who holds it is seen, and who knocks at it is not let in by mistake.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { assertPortsFree } from '../../../src/ports.ts'
import { freePort } from '../../support/port.ts'

for (const [held, asked] of [
  ['127.0.0.1', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['127.0.0.1', '0.0.0.0'],
  ['127.0.0.1', ''],
  ['127.0.0.1', 'localhost'],
] as const) {
  test(`${asked === '' ? 'every address' : asked} is not free while another listens on ${held}, shared or not`, async () => {
    for (const reusePort of [false, true]) {
      const server = net.createServer()
      await new Promise<void>((resolve) => server.listen({ host: held, port: 0, reusePort }, resolve))
      const { port } = server.address() as net.AddressInfo
      await assert.rejects(assertPortsFree([{ host: asked, port }]), /another process is using it/)
      await new Promise((resolve) => server.close(resolve))
      await assertPortsFree([{ host: asked, port }])
      await assertPortsFree([{ host: asked, port }])
    }
  })
}

test('an address of another machine is told as such', async () => {
  await assert.rejects(assertPortsFree([{ host: '192.0.2.1', port: 4000 }]), /this machine has no such address/)
})

/** Knocks at a port without a pause, in a thread of its own, until told to stop; answers with what came of it. */
const KNOCKER = `
const { parentPort, workerData } = require('node:worker_threads')
const net = require('node:net')
const seen = {}
let isDone = false
let open = 0
const knock = () => {
  if (isDone) return open === 0 ? parentPort.postMessage(seen) : undefined
  open++
  const socket = net.connect(workerData, '127.0.0.1')
  let result = null
  socket.on('connect', () => { result = 'connected' })
  socket.on('error', (error) => { result = error.code })
  socket.on('end', () => socket.destroy())
  socket.on('close', () => { open--; seen[result] = (seen[result] ?? 0) + 1; setImmediate(knock) })
}
parentPort.once('message', () => { isDone = true })
for (let i = 0; i < 8; i++) knock()
`

test('clients that knock while the port is looked at are refused, never let in and thrown out', async (t) => {
  const port = await freePort()
  const knocker = new Worker(KNOCKER, { eval: true, workerData: port })
  t.after(async () => void (await knocker.terminate()))
  await sleep(200)
  for (let i = 0; i < 500; i++) await assertPortsFree([{ host: '127.0.0.1', port }])
  knocker.postMessage('stop')
  const [seen] = (await once(knocker, 'message')) as [Record<string, number>]
  t.diagnostic(JSON.stringify(seen))
  assert.deepEqual(Object.keys(seen), ['ECONNREFUSED'])
})
