import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../support/port.ts'
import { requirePrograms } from '../../support/programs.ts'
import { runProgram } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { startStalled } from '../../support/stalled.ts'
import { waitFor } from '../../support/wait.ts'
import { echoOrEnd, exchange, openClient, startEcho, startNamed, startService } from './kit.ts'

const { nc } = requirePrograms(['nc'])

function configOf(endpoints: string[], listener: object = {}, service: object = {}): object {
  return {
    workers: 1,
    listeners: { tcp: { address: '127.0.0.1:0', protocol: 'tcp', to: 's', ...listener } },
    services: { s: { endpoints, ...service } },
  }
}

test('printf x | nc -N gets the whole answer, however late it comes', async (t) => {
  const service = await startService(t, (socket) => {
    let text = ''
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece
    })
    socket.on('end', () => setTimeout(() => socket.end(text.repeat(300_000)), 150))
  })
  const sluice = await startSluice(t, configOf([service.address]))
  const { stdout, code } = await runProgram(nc, ['-N', '127.0.0.1', String(sluice.port())], { input: 'x' })
  assert.equal(code, 0)
  assert.equal(stdout.length, 300_000)
})

test('a service may end first, and still gets what the client sends after that', async (t) => {
  let got = ''
  const service = await startService(t, (socket) => {
    socket.end('hello')
    socket.setEncoding('latin1').on('data', (text: string) => {
      got += text
    })
  })
  const sluice = await startSluice(t, configOf([service.address]))
  const client = await openClient(t, sluice.port())
  await client.ended
  assert.equal(client.received, 'hello')
  client.socket.write('after')
  await waitFor('the bytes after the FIN', () => got === 'after')
  client.socket.end(' all')
  assert.equal(await client.closed, 'end')
  await waitFor('the rest', () => got === 'after all')
  await waitFor('the service to be rid of it', () => service.open.size === 0)
})

test('32 MiB each way at the same time arrive as they were sent', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configOf([echo.address]))
  const client = await openClient(t, sluice.port())
  client.socket.removeAllListeners('data')
  const received = createHash('sha256')
  let bytes = 0
  client.socket.on('data', (text: unknown) => {
    const piece = Buffer.from(text as string, 'latin1')
    received.update(piece)
    bytes += piece.length
  })
  const sent = createHash('sha256')
  for (let i = 0; i < 32; i++) {
    const piece = randomBytes(1024 * 1024)
    sent.update(piece)
    if (!client.socket.write(piece)) await new Promise((resolve) => client.socket.once('drain', resolve))
  }
  client.socket.end()
  assert.equal(await client.closed, 'end')
  assert.equal(bytes, 32 * 1024 * 1024)
  assert.equal(received.digest('hex'), sent.digest('hex'))
})

test('a client that does not read stops the service from sending, and nothing piles up', async (t) => {
  let written = 0
  const service = await startService(t, (socket) => {
    const piece = Buffer.alloc(64 * 1024)
    const pump = () => {
      while (!socket.destroyed && socket.write(piece)) written += piece.length
      written += piece.length
    }
    socket.on('drain', pump)
    pump()
  })
  const sluice = await startSluice(t, configOf([service.address]))
  const client = await openClient(t, sluice.port())
  client.socket.pause()
  let before = -1
  await waitFor('the service to stop', async () => {
    const isStill = written === before
    before = written
    await sleep(300)
    return isStill
  })
  assert.ok(written < 40 * 1024 * 1024, `${written} bytes went into a client that does not read`)
  client.socket.resume()
  const stopped = written
  await waitFor('it to go on', () => written > stopped + 10 * 1024 * 1024)
})

test('an RST of one side becomes an RST of the other', async (t) => {
  const ends: string[] = []
  const service = await startService(t, (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? ''))
    socket.on('end', () => ends.push('end'))
    socket.on('data', (bytes) => {
      if (bytes.toString() === 'reset') socket.resetAndDestroy()
      else socket.write(bytes)
    })
  })
  const sluice = await startSluice(t, configOf([service.address]))
  const first = await openClient(t, sluice.port())
  first.socket.write('hi')
  await waitFor('the echo', () => first.received === 'hi')
  first.socket.resetAndDestroy()
  await waitFor('the service to hear of it', () => ends.length > 0)
  assert.deepEqual(ends, ['ECONNRESET'])
  const second = await openClient(t, sluice.port())
  second.socket.write('reset')
  assert.equal(await second.closed, 'ECONNRESET')
})

test('with an endpoint gone, the next connection goes elsewhere within a second, and the client notices nothing', async (t) => {
  const [a, b] = [await startNamed(t, 'a'), await startNamed(t, 'b')]
  const sluice = await startSluice(t, configOf([a.address, b.address]))
  const seen = new Set<string>()
  for (let i = 0; i < 4; i++) seen.add((await exchange(t, sluice.port(), '')).received)
  assert.deepEqual([...seen].sort(), ['a', 'b'])
  await a.close()
  for (let i = 0; i < 8; i++) {
    const startedMs = performance.now()
    assert.deepEqual(await exchange(t, sluice.port(), ''), { received: 'b', how: 'end' })
    assert.ok(performance.now() - startedMs < 4000)
  }
  const count = b.count
  await b.close()
  const { received, how } = await exchange(t, sluice.port(), '')
  assert.equal(received, '')
  assert.equal(how, 'ECONNRESET')
  assert.ok(count >= 8)
})

test('an endpoint that does not answer costs the connect timeout, and another is tried', async (t) => {
  const live = await startNamed(t, 'live')
  const stalled = await startStalled(t)
  const config = configOf([stalled.address, live.address], {}, { pool: { connectTimeout: '200ms' }, balance: 'round-robin' })
  const sluice = await startSluice(t, config)
  // Without a setting of its own it would be a second for each that tries the dead one first.
  const tookMs: number[] = []
  for (let i = 0; i < 6; i++) {
    const startedMs = performance.now()
    assert.equal((await exchange(t, sluice.port(), '')).received, 'live')
    tookMs.push(performance.now() - startedMs)
  }
  const waitedMs = tookMs.filter((ms) => ms >= 190)
  assert.ok(waitedMs.length > 0 && Math.min(...waitedMs) < 900, `${tookMs} ms`)
})

test('balancing by the address of the client keeps a client on its endpoint', async (t) => {
  const services = [await startNamed(t, 'a'), await startNamed(t, 'b'), await startNamed(t, 'c'), await startNamed(t, 'd')]
  const balance = { algorithm: 'consistent-hash', on: 'client-ip' }
  const sluice = await startSluice(
    t,
    configOf(
      services.map(({ address }) => address),
      {},
      { balance },
    ),
  )
  const byClient = new Map<string, Set<string>>()
  for (let i = 0; i < 40; i++) {
    const localAddress = `127.0.0.${2 + (i % 10)}`
    const client = await openClient(t, sluice.port(), { localAddress })
    client.socket.end()
    await client.closed
    const names = byClient.get(localAddress) ?? new Set()
    byClient.set(localAddress, names.add(client.received))
  }
  for (const [client, names] of byClient) assert.equal(names.size, 1, `${client} came to ${[...names]}`)
  assert.ok(new Set([...byClient.values()].map((names) => [...names][0])).size > 1)
})

test('limits, lists and their metrics: who is one too many gets an RST', async (t) => {
  const echo = await startEcho(t)
  const listener = { maxConnections: 4, maxConnectionsPerClient: 2, deny: '127.0.0.9', allow: ['127.0.0.0/8'] }
  const sluice = await startSluice(t, configOf([echo.address], listener))
  const open = async (localAddress: string) => {
    const client = await openClient(t, sluice.port(), { localAddress })
    client.socket.write('x')
    await echoOrEnd(client, 'x')
    return client
  }
  const clients = [await open('127.0.0.1'), await open('127.0.0.1')]
  assert.equal(await (await open('127.0.0.1')).closed, 'ECONNRESET')
  assert.equal(await (await open('127.0.0.9')).closed, 'ECONNRESET')
  // 127.0.0.1 is in a list of characters of 127.0.0.10, and in no list of addresses.
  clients.push(await open('127.0.0.10'), await open('127.0.0.11'))
  assert.equal(
    clients.every((client) => client.received === 'x'),
    true,
  )
  assert.equal(await (await open('127.0.0.12')).closed, 'ECONNRESET')
  for (const client of clients) client.socket.end()
  await Promise.all(clients.map((client) => client.closed))
  const again = await open('127.0.0.1')
  assert.equal(again.received, 'x')
  const metrics = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  assert.match(metrics, /^sluice_connections_open\{listener="tcp"\} 1$/m)
  assert.match(metrics, /^sluice_connections_refused_total\{listener="tcp"\} 2$/m)
  assert.match(metrics, /^sluice_tcp_connections_total\{listener="tcp",result="ok"\} 4$/m)
  assert.match(metrics, /^sluice_tcp_connections_total\{listener="tcp",result="address_denied"\} 1$/m)
  assert.match(metrics, /^sluice_tcp_connections_total\{listener="tcp",result="overloaded"\} 1$/m)
  assert.match(metrics, /^sluice_tcp_bytes_total\{direction="received",listener="tcp",service="s"\} 5$/m)
  assert.match(metrics, /^sluice_tcp_bytes_total\{direction="sent",listener="tcp",service="s"\} 5$/m)
})

test('traffic in either direction keeps a connection; silence ends it, and so does its lifetime', async (t) => {
  const ticking = await startService(t, (socket) => {
    const timer = setInterval(() => socket.write('t'), 100)
    socket.on('close', () => clearInterval(timer))
  })
  const silent = await startService(t, (socket) => void socket.resume())
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      ticking: { address: '127.0.0.1:0', protocol: 'tcp', to: 'ticking', timeouts: { idle: '1s' } },
      silent: { address: '127.0.0.1:0', protocol: 'tcp', to: 'silent', timeouts: { idle: '1s' } },
      short: { address: '127.0.0.1:0', protocol: 'tcp', to: 'ticking', timeouts: { idle: 0, lifetime: '400ms' } },
    },
    services: { ticking: { endpoints: [ticking.address] }, silent: { endpoints: [silent.address] } },
  })
  // Between two writes of a tenth of the idle time, a busy machine may sleep through nine tenths of it.
  const lifeMs = async (listener: string, isTalking: boolean) => {
    const client = await openClient(t, sluice.port(listener))
    const startedMs = performance.now()
    const timer = setInterval(() => isTalking && client.socket.write('c'), 100)
    const how = await Promise.race([client.closed, sleep(2500, 'alive')])
    clearInterval(timer)
    return { how, ms: performance.now() - startedMs }
  }
  const [told, telling, idle, short] = await Promise.all([
    lifeMs('ticking', false),
    lifeMs('silent', true),
    lifeMs('silent', false),
    lifeMs('short', false),
  ])
  assert.equal(told.how, 'alive')
  assert.equal(telling.how, 'alive')
  assert.ok(idle.how === 'ECONNRESET' && idle.ms > 990, `${idle.how} after ${idle.ms} ms`)
  assert.ok(short.how === 'ECONNRESET' && short.ms > 390, `${short.how} after ${short.ms} ms`)
})

test('bandwidth is limited per connection and direction, and every byte arrives', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configOf([echo.address], { bandwidth: { upload: '2MiB' } }))
  const take = async () => {
    const startedMs = performance.now()
    const text = 'u'.repeat(2 * 1024 * 1024)
    const { received } = await exchange(t, sluice.port(), text)
    assert.equal(received, text)
    return performance.now() - startedMs
  }
  const [first, second] = await Promise.all([take(), take()])
  for (const ms of [first, second]) assert.ok(ms > 700 && ms < 10_000, `2 MiB at 2 MiB/s took ${ms} ms`)
})

test('a connection that waits for its bandwidth is not idle', { timeout: 120_000 }, async (t) => {
  const echo = await startEcho(t)
  // One read of 64 KiB is paid for in 640 ms.
  const listener = { bandwidth: { upload: '100KiB' }, timeouts: { idle: '400ms' } }
  const sluice = await startSluice(t, configOf([echo.address], listener))
  const { received, how } = await exchange(t, sluice.port(), 'x'.repeat(200_000))
  assert.deepEqual([received.length, how], [200_000, 'end'])
})

test('a stop lets connections finish until the drain timeout, then cuts them off', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, { ...configOf([echo.address]), drainTimeout: '800ms' })
  const [finishing, staying] = [await openClient(t, sluice.port()), await openClient(t, sluice.port())]
  for (const client of [finishing, staying]) client.socket.write('x')
  await waitFor('both to stand', () => finishing.received === 'x' && staying.received === 'x')
  const startedMs = performance.now()
  const stopping = sluice.stop()
  await sleep(200)
  assert.equal((await openClient(t, sluice.port())).socket.destroyed || (await exchange(t, sluice.port(), 'x')).received, true)
  finishing.socket.write('y')
  await waitFor('traffic while draining', () => finishing.received === 'xy')
  finishing.socket.end()
  assert.equal(await finishing.closed, 'end')
  assert.equal(await staying.closed, 'ECONNRESET')
  assert.equal((await stopping).code, 0)
  const ms = performance.now() - startedMs
  assert.ok(ms > 750 && ms < 10_000, `stopped after ${ms} ms`)
})

test('connections stay open through reloads, also when their service and listener are gone; a protocol may change', async (t) => {
  const [echo, other] = [await startEcho(t), await startNamed(t, 'other')]
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const config = configOf([echo.address], { address })
  const sluice = await startSluice(t, config)
  const client = await openClient(t, port)
  const ask = async () => {
    const before = client.received.length
    client.socket.write('ping')
    await waitFor('the echo', () => client.received.length === before + 4)
  }
  await ask()
  for (let i = 0; i < 5; i++) {
    assert.equal((await sluice.reload({ ...config, drainTimeout: `${10 + i}s` })).status, 200)
    await ask()
  }
  const moved = { workers: 1, listeners: { tcp: { address, protocol: 'tcp', to: 'o' } }, services: { o: { endpoints: [other.address] } } }
  assert.equal((await sluice.reload(moved)).status, 200)
  await ask()
  await waitFor('the new service', async () => (await exchange(t, port, '')).received === 'other')
  const http = { workers: 1, listeners: { web: { address } }, routes: { r: { respond: { body: 'http' } } } }
  const answer = await sluice.reload(http)
  assert.equal(answer.status, 200, JSON.stringify(answer.problems))
  assert.equal(await (await fetch(`http://${address}/`)).text(), 'http')
  await ask()
  assert.equal((await sluice.reload(moved)).status, 200)
  assert.equal((await exchange(t, port, '')).received, 'other')
  await ask()
  client.socket.end()
  assert.equal(await client.closed, 'end')
})

test('a line in the access log tells about each connection', async (t) => {
  const echo = await startEcho(t)
  const sluice = await startSluice(t, configOf([echo.address]))
  await exchange(t, sluice.port(), 'hello')
  const line = await waitFor('the line', () => sluice.logs.find((text) => text.includes('"protocol":"TCP"')))
  const entry = JSON.parse(line)
  assert.deepEqual(
    [entry.listener, entry.service, entry.endpoint, entry.clientIp, entry.status, entry.requestBytes, entry.responseBytes, entry.attempts],
    ['tcp', 's', echo.address, '127.0.0.1', 200, 5, 5, 1],
  )
  await echo.close()
  await exchange(t, sluice.port(), 'hello')
  const failed = await waitFor('the second line', () => sluice.logs.find((text) => text.includes('"errorCode":"connect_failed"')))
  assert.equal(JSON.parse(failed).status, 502)
})

test('a killed process is the end of its connections', async (t) => {
  const program = `require('net').createServer((s) => s.write('up')).listen(0, '127.0.0.1', function () { console.log(this.address().port) })`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => void child.kill('SIGKILL'))
  const port = await new Promise<string>((resolve) => child.stdout.once('data', (bytes) => resolve(String(bytes).trim())))
  const sluice = await startSluice(t, configOf([`127.0.0.1:${port}`]))
  const client = await openClient(t, sluice.port())
  await waitFor('the service', () => client.received === 'up')
  child.kill('SIGKILL')
  client.socket.on('end', () => client.socket.end())
  await client.closed
  assert.equal((await exchange(t, sluice.port(), '')).how, 'ECONNRESET')
})
