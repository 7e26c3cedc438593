import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertNoSocketLeft, holding } from '../../leak/leak.ts'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { startSluice } from '../../support/sluice.ts'
import { exchange } from './kit.ts'

const CONNECTIONS = 2000
const AT_A_TIME = 64
const KILLS = 6

/** Echoes; resets a connection in whose first bytes it is asked to, after this many of them. */
const PROGRAM = `
require('net').createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  let left = -1
  socket.on('error', () => {})
  socket.on('data', (bytes) => {
    if (left < 0) left = bytes[0] === 82 ? bytes[1] * 256 : Infinity
    if ((left -= bytes.length) < 0) return socket.resetAndDestroy()
    if (!socket.write(bytes)) { socket.pause(); socket.once('drain', () => socket.resume()) }
  })
  socket.on('end', () => socket.end())
}).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('ready'))
`

class KillableEcho {
  readonly port: number
  #child: ChildProcess | null = null

  constructor(scope: CleanupScope, port: number) {
    this.port = port
    scope.after(() => this.kill())
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['-e', PROGRAM, String(this.port)], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    await new Promise((resolve) => child.stdout?.once('data', resolve))
  }

  kill(): void {
    this.#child?.kill('SIGKILL')
  }
}

type Plan = 'finish' | 'client-reset' | 'client-leaves' | 'service-reset'

interface Result {
  plan: Plan
  /** All that was sent came back, and then a FIN. */
  isWhole: boolean
  /** What came back is how what was sent begins. */
  isPrefix: boolean
}

function connectOnce(port: number, plan: Plan, size: number): Promise<Result> {
  const payload = randomBytes(size)
  payload[0] = plan === 'service-reset' ? 82 : 0
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })
    const received: Buffer[] = []
    let hasEnded = false
    let bytes = 0
    const actAt = Math.floor(Math.random() * size)
    socket.on('data', (piece) => {
      received.push(piece)
      bytes += piece.length
      if (bytes < actAt) return
      if (plan === 'client-reset') socket.resetAndDestroy()
      else if (plan === 'client-leaves') socket.destroy()
    })
    socket.on('end', () => {
      hasEnded = true
      socket.end()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      const all = Buffer.concat(received)
      const isPrefix = all.equals(payload.subarray(0, all.length))
      resolve({ plan, isWhole: hasEnded && all.length === size, isPrefix })
    })
    // In pieces, so that there is a middle to break off in.
    for (let at = 0; at < size; at += 7000) socket.write(payload.subarray(at, at + 7000))
    if (plan === 'finish' || plan === 'service-reset') socket.end()
  })
}

test(`${CONNECTIONS} connections that end in every way lose no byte and leave no descriptor`, { timeout: 120_000 }, async (t) => {
  const steady = new KillableEcho(t, await freePort())
  const dying = new KillableEcho(t, await freePort())
  await Promise.all([steady.start(), dying.start()])
  const sluice = await startSluice(t, {
    workers: 2,
    accessLog: null,
    listeners: {
      steady: { address: '127.0.0.1:0', protocol: 'tcp', to: 'steady', maxConnectionsPerClient: 0 },
      both: { address: '127.0.0.1:0', protocol: 'tcp', to: 'both', maxConnectionsPerClient: 0 },
    },
    services: {
      steady: { endpoints: [`127.0.0.1:${steady.port}`] },
      both: { endpoints: [`127.0.0.1:${steady.port}`, `127.0.0.1:${dying.port}`] },
    },
  })
  await exchange(t, sluice.port('steady'), 'warm')
  await exchange(t, sluice.port('both'), 'warm')
  await sleep(200)
  const before = holding(sluice.pid)
  const plans: Plan[] = ['finish', 'finish', 'client-reset', 'client-leaves', 'service-reset']
  let begun = 0
  const tally = new Map<string, number>()
  const worker = async () => {
    while (begun < CONNECTIONS) {
      const index = begun++
      const listener = index % 2 === 0 ? 'steady' : 'both'
      const plan = plans[Math.floor(Math.random() * plans.length)] as Plan
      const size = 1 + Math.floor(Math.random() ** 3 * 400_000)
      const result = await connectOnce(sluice.port(listener), plan, size)
      assert.ok(result.isPrefix, `bytes of connection ${index} (${plan}, ${size}) came back changed`)
      if (plan === 'finish' && listener === 'steady')
        assert.ok(result.isWhole, `connection ${index} of ${size} bytes did not come back whole`)
      const key = `${listener} ${plan} ${result.isWhole ? 'whole' : 'cut'}`
      tally.set(key, (tally.get(key) ?? 0) + 1)
    }
  }
  const killer = async () => {
    for (let i = 1; i <= KILLS; i++) {
      while (begun < (CONNECTIONS * i) / (KILLS + 1)) await sleep(5)
      dying.kill()
      await sleep(50)
      await dying.start()
    }
  }
  await Promise.all([killer(), ...Array.from({ length: AT_A_TIME }, worker)])
  assert.ok((tally.get('steady client-reset cut') ?? 0) > 50, JSON.stringify([...tally]))
  assert.ok((tally.get('both finish whole') ?? 0) > 50, JSON.stringify([...tally]))
  await assertNoSocketLeft(sluice.pid, before)
  const metrics = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  assert.match(metrics, /^sluice_connections_open\{listener="steady"\} 0$/m)
  assert.match(metrics, /^sluice_connections_open\{listener="both"\} 0$/m)
  assert.match(metrics, /^sluice_upstream_connections\{service="both",state="busy"\} 0$/m)
  const services = await (await fetch(`${sluice.adminUrl}/services`)).text()
  assert.doesNotMatch(services, /"inFlight":\s*[1-9-]/)
})
