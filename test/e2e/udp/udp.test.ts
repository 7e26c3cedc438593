import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { requirePrograms } from '../../support/programs.ts'
import { runProgram } from '../../support/run.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'

const { dnsmasq, dig, prlimit } = requirePrograms(['dnsmasq', 'dig', 'prlimit'])

interface Echo {
  port: number
  /** Datagrams received. */
  readonly count: number
  /** Addresses and ports they came from. */
  readonly sources: Set<string>
  close(): void
}

/** Answers each datagram with what it says; null is no answer. */
async function startEcho(scope: CleanupScope, answer: (text: string) => string | null = (text) => text, port = 0): Promise<Echo> {
  const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
  const sources = new Set<string>()
  let count = 0
  let isClosed = false
  socket.on('message', (bytes, { port: from, address }) => {
    count++
    sources.add(`${address}:${from}`)
    const text = answer(bytes.toString('latin1'))
    if (text !== null) socket.send(Buffer.from(text, 'latin1'), from, address)
  })
  await new Promise<void>((resolve) => socket.bind(port, '127.0.0.1', resolve))
  const close = () => {
    if (!isClosed) socket.close()
    isClosed = true
  }
  scope.after(close)
  return {
    port: socket.address().port,
    get count() {
      return count
    },
    sources,
    close,
  }
}

interface Client {
  socket: dgram.Socket
  received: string[]
  send(text: string): void
  /** Sends, and waits for the next reply. */
  ask(text: string): Promise<string>
}

async function connectClient(scope: CleanupScope, port: number): Promise<Client> {
  const socket = dgram.createSocket('udp4')
  const received: string[] = []
  socket.on('message', (bytes) => received.push(bytes.toString('latin1')))
  socket.on('error', () => {})
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
  scope.after(() => void socket.close())
  const send = (text: string) => socket.send(Buffer.from(text, 'latin1'))
  return {
    socket,
    received,
    send,
    async ask(text) {
      const before = received.length
      send(text)
      return waitFor(`a reply to ${text.slice(0, 40)}`, () => received[before], { timeoutMs: 3000, everyMs: 5 })
    },
  }
}

function configure(ports: readonly number[], listener: object = {}, service: object = {}): object {
  return {
    workers: 1,
    drainTimeout: '5s',
    listeners: { udp: { address: '127.0.0.1:0', protocol: 'udp', to: 'echo', ...listener } },
    services: { echo: { endpoints: ports.map((port) => `127.0.0.1:${port}`), ...service } },
  }
}

/** The sum of the samples of a metric whose labels contain all of these. */
async function metric(sluice: SluiceProcess, name: string, ...labels: string[]): Promise<number> {
  const text = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  let sum = 0
  for (const line of text.split('\n')) {
    if (line.startsWith(name) && labels.every((label) => line.includes(label))) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

test('DNS works through a listener: dig asks dnsmasq, one flow for each question', async (t) => {
  const port = 20_000 + (process.pid % 20_000)
  const server = spawn(
    dnsmasq,
    [
      '-k',
      '-p',
      String(port),
      '-a',
      '127.0.0.1',
      '--bind-interfaces',
      '-R',
      '-h',
      '-C',
      '/dev/null',
      '-A',
      '/sluice.test/192.0.2.7',
      '--pid-file=',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const ended = new Promise((resolve) => server.once('close', resolve))
  t.after(async () => {
    server.kill('SIGKILL')
    await ended
  })
  const sluice = await startSluice(t, configure([port], { replies: 1 }))
  const ask = () => runProgram(dig, ['@127.0.0.1', '-p', String(sluice.port()), '+short', '+tries=1', '+time=2', 'a.sluice.test'])
  await waitFor('dnsmasq', async () => (await ask()).stdout === '192.0.2.7\n')
  for (let i = 0; i < 5; i++) assert.equal((await ask()).stdout, '192.0.2.7\n')
  assert.ok((await metric(sluice, 'sluice_udp_flows_total', 'answered')) >= 6)
  assert.equal(await metric(sluice, 'sluice_udp_flows_open'), 0)
})

for (const workers of [1, 2]) {
  test(`1,000 clients get their own replies, with ${workers} worker(s)`, { timeout: 120_000 }, async (t) => {
    const echoes = await Promise.all([startEcho(t), startEcho(t), startEcho(t)])
    const sluice = await startSluice(t, { ...configure(echoes.map(({ port }) => port)), workers })
    const clients: Client[] = []
    for (let i = 0; i < 1000; i++) clients.push(await connectClient(t, sluice.port()))
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < clients.length; i += 50) {
        const group = clients.slice(i, i + 50)
        const answers = await Promise.all(group.map((client, j) => client.ask(`client ${i + j} round ${round}`)))
        for (const [j, answer] of answers.entries()) assert.equal(answer, `client ${i + j} round ${round}`)
      }
    }
    for (const { received } of clients) assert.equal(received.length, 3)
    // A flow is balanced once: three datagrams of a client come from one socket, at one endpoint.
    const flows = echoes.reduce((sum, { sources }) => sum + sources.size, 0)
    assert.equal(flows, 1000)
    for (const { sources } of echoes) assert.ok(sources.size >= 300, `${sources.size} of 1000 flows`)
    assert.equal(await metric(sluice, 'sluice_udp_flows_open'), 1000)
    assert.equal(await metric(sluice, 'sluice_udp_datagrams_total', 'received'), 3000)
    assert.equal(await metric(sluice, 'sluice_udp_datagrams_total', 'sent'), 3000)
  })
}

test('datagrams of any size pass whole, also empty ones', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port]))
  const client = await connectClient(t, sluice.port())
  for (const length of [1, 1472, 9000, 65_507]) {
    const text = `${length}`.padEnd(length, 'x').slice(0, length)
    assert.equal(await client.ask(text), text)
  }
  client.send('')
  await waitFor('the empty reply', () => client.received.includes(''))
})

test('a listener on every address serves IPv4 clients as what they are', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port], { address: ':0', allow: '127.0.0.0/8' }))
  const client = await connectClient(t, sluice.port())
  assert.equal(await client.ask('four'), 'four')
})

test('a flow ends after its idle time, and the next datagram begins another', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port], { idleTimeout: '1s' }))
  const client = await connectClient(t, sluice.port())
  // Traffic keeps it alive.
  for (let i = 0; i < 5; i++) {
    await client.ask(`${i}`)
    await sleep(300)
  }
  assert.equal(echo.sources.size, 1)
  await waitFor('the end', async () => (await metric(sluice, 'sluice_udp_flows_open')) === 0)
  assert.equal(await client.ask('again'), 'again')
  assert.equal(echo.sources.size, 2)
  assert.equal(await metric(sluice, 'sluice_udp_flows_total', 'idle'), 1)
})

test('an endpoint that refuses counts as failed and the datagram goes to another', async (t) => {
  const [dead, echo] = [await startEcho(t), await startEcho(t)]
  dead.close()
  const sluice = await startSluice(t, configure([dead.port, echo.port], {}, { ejection: { maxFails: 1, failTimeout: '60s' } }))
  for (let i = 0; i < 10; i++) assert.equal(await (await connectClient(t, sluice.port())).ask(`flow ${i}`), `flow ${i}`)
  assert.equal(await metric(sluice, 'sluice_upstream_attempts_total', 'failure'), 1)
  assert.equal(echo.sources.size, 10)
})

test('endpoints that refused are not asked again by the same flow, however it is balanced', async (t) => {
  const dead = await Promise.all(Array.from({ length: 8 }, () => startEcho(t)))
  for (const echo of dead) echo.close()
  const echo = await startEcho(t)
  const ports = [...dead, echo].map(({ port }) => port)
  const service = { balance: { algorithm: 'consistent-hash', on: 'client-ip' }, ejection: null }
  const sluice = await startSluice(t, configure(ports, { connectAttempts: 9 }, service))
  assert.equal(await (await connectClient(t, sluice.port())).ask('anybody?'), 'anybody?')
})

test('a flow whose endpoint dies goes on with another', async (t) => {
  const echoes = [await startEcho(t, (text) => `a ${text}`), await startEcho(t, (text) => `b ${text}`)]
  const sluice = await startSluice(t, configure(echoes.map(({ port }) => port)))
  const client = await connectClient(t, sluice.port())
  const first = await client.ask('1')
  const [used, other] = first.startsWith('a') ? ['a', 'b'] : ['b', 'a']
  echoes[used === 'a' ? 0 : 1]?.close()
  const answer = await waitFor('the other endpoint', async () => {
    client.send('2')
    await sleep(50)
    return client.received.find((text) => text.startsWith(other as string))
  })
  assert.equal(answer, `${other} 2`)
})

test('without an endpoint that lives, datagrams are dropped and counted, and the service is asked again for the next flow', async (t) => {
  const dead = await startEcho(t)
  dead.close()
  const sluice = await startSluice(t, configure([dead.port]))
  const client = await connectClient(t, sluice.port())
  client.send('lost')
  await waitFor('the drop', async () => (await metric(sluice, 'sluice_udp_dropped_total', 'unreachable')) === 1)
  assert.equal(await metric(sluice, 'sluice_udp_flows_total', 'connect_failed'), 1)
  await startEcho(t, undefined, dead.port)
  assert.equal(await client.ask('alive'), 'alive')
})

test('flows that an open breaker turns away are counted and logged as requests are', async (t) => {
  const dead = await startEcho(t)
  dead.close()
  const breaker = { errorRate: '50%', minRequests: 2, openFor: '60s' }
  const sluice = await startSluice(t, configure([dead.port], {}, { breaker, ejection: null }))
  const client = await connectClient(t, sluice.port())
  for (let i = 1; i <= 5; i++) {
    client.send(`datagram ${i}`)
    await waitFor('its end', async () => (await metric(sluice, 'sluice_udp_flows_total')) === i)
  }
  assert.equal(await metric(sluice, 'sluice_breaker_rejected_total', 'echo'), 3)
  assert.equal(await metric(sluice, 'sluice_udp_dropped_total', 'breaker-open'), 3)
  const line = await waitFor('its line', () => sluice.logs.find((text) => text.includes('"errorCode":"breaker_open"')))
  assert.equal(JSON.parse(line).flags, 'CB')
})

test('without descriptors a flow ends at once, so that its client is served as soon as there are some again', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port]))
  // Only the soft limit, which can be raised again. The admin connections of this test need some.
  const allow = async (descriptors: number) => {
    const { code, stderr } = await runProgram(prlimit, ['--pid', String(sluice.pid), `--nofile=${descriptors}:`])
    assert.equal(code, 0, stderr)
  }
  const clients = await Promise.all(Array.from({ length: 40 }, () => connectClient(t, sluice.port())))
  await allow(readdirSync(`/proc/${sluice.pid}/fd`).length + 20)
  for (const client of clients) client.send('first')
  await sleep(300)
  await allow(4000)
  const overloaded = await waitFor('flows to end', async () => (await metric(sluice, 'sluice_udp_flows_total', 'overloaded')) || undefined)
  assert.ok(overloaded >= 10, `${overloaded} flows ended`)
  assert.equal(await metric(sluice, 'sluice_udp_dropped_total', 'send-failed'), overloaded)
  await Promise.all(clients.map((client) => client.ask('second')))
})

test('with a number of replies, silence to the end of the idle time is a failure of the endpoint', async (t) => {
  const mute = await startEcho(t, () => null)
  const sluice = await startSluice(t, configure([mute.port], { replies: 1, idleTimeout: '100ms' }))
  const client = await connectClient(t, sluice.port())
  client.send('hello?')
  await waitFor('the failure', async () => (await metric(sluice, 'sluice_upstream_attempts_total', 'failure')) === 1)
})

test('a flow with several questions under way ends with the last answer', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port], { replies: 1 }))
  const client = await connectClient(t, sluice.port())
  for (let i = 0; i < 10; i++) client.send(`${i}`)
  await waitFor('ten answers', () => client.received.length === 10)
  assert.ok(echo.sources.size <= 10)
  assert.equal(await metric(sluice, 'sluice_udp_flows_open'), 0)
})

test('a full table drops new flows, and replaces those that are silent', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port], { maxFlows: 3 }))
  const clients = [await connectClient(t, sluice.port()), await connectClient(t, sluice.port()), await connectClient(t, sluice.port())]
  for (const client of clients) await client.ask('in')
  const late = await connectClient(t, sluice.port())
  late.send('too many')
  await waitFor('the drop', async () => (await metric(sluice, 'sluice_udp_dropped_total', 'flow-limit')) === 1)
  await sleep(1100)
  // The first has been silent longest, until it speaks again.
  await clients[0]?.ask('still here')
  assert.equal(await late.ask('now'), 'now')
  assert.equal(await metric(sluice, 'sluice_udp_flows_total', 'replaced'), 1)
  const before = echo.sources.size
  await clients[0]?.ask('me')
  assert.equal(echo.sources.size, before, 'the flow that spoke last was kept')
})

test('the limit on flows is one for all workers', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, { ...configure([echo.port], { maxFlows: 6 }), workers: 2 })
  const clients: Client[] = []
  for (let i = 0; i < 30; i++) clients.push(await connectClient(t, sluice.port()))
  for (const client of clients) client.send('x')
  await waitFor('the drops', async () => (await metric(sluice, 'sluice_udp_dropped_total', 'flow-limit')) === 24)
  assert.equal(await metric(sluice, 'sluice_udp_flows_open'), 6)
  assert.equal(echo.sources.size, 6)
})

test('addresses that are not allowed are dropped', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configure([echo.port], { deny: '127.0.0.1' }))
  const client = await connectClient(t, sluice.port())
  client.send('let me in')
  await waitFor('the drop', async () => (await metric(sluice, 'sluice_udp_dropped_total', 'denied')) === 1)
  assert.equal(echo.count, 0)
})

test('balancing by client address sends all ports of a client to one endpoint', async (t) => {
  const echoes = [await startEcho(t), await startEcho(t), await startEcho(t)]
  const balance = { algorithm: 'consistent-hash', on: 'client-ip' }
  const sluice = await startSluice(
    t,
    configure(
      echoes.map(({ port }) => port),
      {},
      { balance },
    ),
  )
  for (let i = 0; i < 12; i++) await (await connectClient(t, sluice.port())).ask(`${i}`)
  assert.deepEqual(echoes.map(({ count }) => count).sort(), [0, 0, 12])
})

test('flows live through reloads; a removed listener frees its address', async (t) => {
  const echo = await startEcho(t)
  const other = await startEcho(t, (text) => `other ${text}`)
  const sluice = await startSluice(t, configure([echo.port]))
  const client = await connectClient(t, sluice.port())
  await client.ask('before')
  for (let i = 0; i < 3; i++)
    assert.equal((await sluice.reload(configure([i % 2 === 0 ? other.port : echo.port], { maxFlows: 100 + i }))).status, 200)
  assert.equal(await client.ask('after'), 'after')
  assert.equal(echo.sources.size, 1)
  const fresh = await connectClient(t, sluice.port())
  assert.equal(await fresh.ask('new'), 'other new')
  const port = sluice.port()
  const web = { listeners: { web: { address: '127.0.0.1:0' } }, routes: { hello: { match: { path: '/' }, respond: { status: 200 } } } }
  assert.equal((await sluice.reload(web)).status, 200)
  const socket = dgram.createSocket('udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, '127.0.0.1', resolve)
  })
  socket.close()
})

test('a drain waits for the answer that is due, then ends', async (t) => {
  const slow = dgram.createSocket('udp4')
  t.after(() => void slow.close())
  await new Promise<void>((resolve) => slow.bind(0, '127.0.0.1', resolve))
  slow.on('message', (bytes, { port, address }) => void setTimeout(() => slow.send(bytes, port, address), 250))
  const sluice = await startSluice(t, configure([slow.address().port], { replies: 1 }))
  const client = await connectClient(t, sluice.port())
  client.send('last words')
  await waitFor('the flow', async () => (await metric(sluice, 'sluice_udp_flows_open')) === 1)
  const { code } = await sluice.stop()
  assert.equal(code, 0)
  assert.deepEqual(client.received, ['last words'])
})

test('a port that another process has is an error at the start, and TCP on the same port is not', async (t) => {
  const echo = await startEcho(t)
  const taken = await startEcho(t, (text) => text, await freePort())
  await assert.rejects(startSluice(t, configure([echo.port], { address: `127.0.0.1:${taken.port}` })), /another process is using it/)
  const both = {
    workers: 1,
    listeners: {
      udp: { address: '127.0.0.1:0', protocol: 'udp', to: 'echo' },
      web: { address: `127.0.0.1:${taken.port}` },
    },
    services: { echo: { endpoints: [`127.0.0.1:${echo.port}`] } },
    routes: { hello: { match: { path: '/' }, respond: { status: 200 } } },
  }
  const sluice = await startSluice(t, both)
  const shared = { ...both, listeners: { udp: { ...both.listeners.udp, address: `127.0.0.1:${taken.port}` }, web: both.listeners.web } }
  taken.close()
  assert.deepEqual((await sluice.reload(shared)).problems, [])
  assert.equal((await fetch(`http://127.0.0.1:${taken.port}/`)).status, 200)
  assert.equal(await (await connectClient(t, taken.port)).ask('hi'), 'hi')
})

test('the access log has a line for each flow', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, { ...configure([echo.port], { replies: 1 }), accessLog: { path: '-', format: 'json' } })
  await (await connectClient(t, sluice.port())).ask('12345')
  const line = await waitFor('the line', () => sluice.logs.find((text) => text.includes('"UDP"')))
  const entry = JSON.parse(line) as Record<string, unknown>
  assert.equal(entry['requestBytes'], 5)
  assert.equal(entry['responseBytes'], 5)
  assert.equal(entry['endpoint'], `127.0.0.1:${echo.port}`)
})
