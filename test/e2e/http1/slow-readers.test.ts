/** Clients and upstreams that are slow, and how much the gateway holds for them. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Writable } from 'node:stream'
import { after, beforeEach, test } from 'node:test'
import { startUpstream } from '../../support/upstream.ts'
import { openClient, request, residentMiB, sleep, startGateway, startScript, statusOf } from './kit.ts'

const scope = { after }
const MIB = 1024 ** 2
const upstream = await startScript(scope)

const noise = randomBytes(MIB)

/** Waits until a stream takes more, or is gone. */
function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })
}

/** Sends `?mib` MiB, by length, in chunks or until close; or takes an upload as slowly as `?ms` says. */
const files = await startUpstream(scope, async (incoming, outgoing) => {
  const { searchParams } = new URL(incoming.url!, 'http://a')
  const mib = Number(searchParams.get('mib'))
  if (incoming.method === 'PUT') {
    const hash = createHash('sha256')
    let pieces = 0
    for await (const piece of incoming) {
      hash.update(piece as Buffer)
      if (searchParams.has('ms') && pieces++ < 500) await sleep(Number(searchParams.get('ms')))
    }
    outgoing.end(hash.digest('hex'))
    return
  }
  if (searchParams.get('how') === 'length') outgoing.setHeader('content-length', mib * MIB)
  if (searchParams.get('how') === 'close') outgoing.useChunkedEncodingByDefault = false
  outgoing.writeHead(200)
  for (let i = 0; i < mib && !outgoing.destroyed; i++) {
    if (!outgoing.write(noise)) await drained(outgoing)
  }
  outgoing.end()
})

const gateway = await startGateway(scope, [upstream.address], {
  listener: { limits: { body: '2GiB' } },
  more: {
    listeners: {
      web: { address: '127.0.0.1:0' },
      hasty: { address: '127.0.0.1:0', timeouts: { send: '400ms', idle: '300ms' } },
      patient: { address: '127.0.0.1:0', timeouts: { send: '1500ms', idle: '300ms' } },
    },
    services: { up: { endpoints: [upstream.address], ejection: null }, files: { endpoints: [files.address], ejection: null } },
    routes: {
      up: { to: 'up' },
      files: { match: { prefix: '/files' }, to: 'files' },
      local: { match: { path: '/local' }, respond: { body: 'x'.repeat(100_000) } },
      large: { match: { path: '/large' }, respond: { body: 'x'.repeat(16_000_000) } },
    },
  },
})
const port = gateway.port()

beforeEach(() => upstream.reset())

/** The largest growth of the gateway's memory while `work` runs, in MiB. */
async function growthDuring(work: () => Promise<void>): Promise<number> {
  const before = await residentMiB(gateway.pid)
  let most = before
  const timer = setInterval(async () => (most = Math.max(most, await residentMiB(gateway.pid))), 25)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return Math.max(most, await residentMiB(gateway.pid)) - before
}

test('a slow reader before a fast upstream costs no memory: 256 MiB', async (t) => {
  for (const [how, mib] of [
    ['length', 256],
    ['chunked', 96],
  ] as const) {
    const growth = await growthDuring(async () => {
      const client = await openClient(t, port)
      let bytes = 0
      client.socket.removeAllListeners('data')
      client.send(request('GET', `/files?mib=${mib}&how=${how}`, ['Connection: close']))
      client.socket.on('data', (data) => {
        bytes += data.length
        if (bytes < 6 * MIB) {
          client.socket.pause()
          setTimeout(() => client.socket.resume(), 10)
        }
      })
      await client.end(30_000)
      assert.ok(bytes > mib * MIB, `${bytes}`)
    })
    assert.ok(growth < 40, `${growth} MiB`)
  }
})

test('a slow upstream behind a fast uploader costs no memory: 256 MiB', async (t) => {
  const growth = await growthDuring(async () => {
    const client = await openClient(t, port)
    const hash = createHash('sha256')
    client.send(request('PUT', '/files?ms=1', [`Content-Length: ${256 * MIB}`]))
    for (let i = 0; i < 256; i++) {
      hash.update(noise)
      if (!client.socket.write(noise)) await new Promise((resolve) => client.socket.once('drain', resolve))
    }
    assert.equal((await client.response({ timeoutMs: 30_000 })).body, hash.digest('hex'))
  })
  assert.ok(growth < 40, `${growth} MiB`)
})

test('a client that asks for much ahead and reads nothing costs no memory', async (t) => {
  const client = await openClient(t, port)
  client.socket.pause()
  const growth = await growthDuring(async () => {
    client.send(request('GET', '/local').repeat(2000))
    await sleep(700)
  })
  assert.ok(growth < 40, `${growth} MiB`)
  client.socket.resume()
  // 100,000 bytes and a head for each.
  await client.until(() => client.text.length > 50_000_000, 20_000)
  client.socket.destroy()
})

test('responses asked for ahead come in order, however late they are read', async (t) => {
  const client = await openClient(t, port)
  client.socket.pause()
  client.send(request('GET', '/local').repeat(60) + request('GET', '/up') + request('GET', '/local', ['Connection: close']))
  await sleep(300)
  client.socket.resume()
  await client.end(10_000)
  const sizes = client.text
    .split('HTTP/1.1 200 OK\r\n')
    .slice(1)
    .map((answer) => answer.split('\r\n\r\n')[1]!.length)
  assert.deepEqual(sizes, [...Array.from({ length: 60 }, () => 100_000), 2, 100_000])
})

test('a client that reads nothing is reset after the send timeout', async (t) => {
  const cases = [
    ['/files?mib=64&how=length', ''],
    ['/files?mib=64&how=chunked', ''],
    ['/files?mib=64&how=close', ''],
    ['/large', ''],
    // The gateway has nothing more to do than to see the end of the response off.
    ['/large', 'Connection: close'],
  ] as const
  for (const [target, field] of cases) {
    const client = await openClient(t, gateway.port('hasty'))
    client.socket.pause()
    client.send(request('GET', target, field === '' ? [] : [field]))
    await sleep(1200)
    // What the kernel has for us comes first, then the reset.
    client.socket.resume()
    assert.equal(await client.end(), 'reset', `${target} ${field}`)
    assert.ok(client.text.length > 0)
  }
})

test('a client that reads slowly, but reads, gets all of it', async (t) => {
  // Several times as long as the send timeout; the time between two reads is a hundredth of it.
  const read = async (target: string, size: number) => {
    const client = await openClient(t, gateway.port('patient'))
    let bytes = 0
    client.socket.removeAllListeners('data')
    client.socket.on('data', (data) => {
      bytes += data.length
      client.socket.pause()
      setTimeout(() => client.socket.resume(), 15)
    })
    client.send(request('GET', target, ['Connection: close']))
    assert.equal(await client.end(60_000), 'closed', `${target} after ${bytes} bytes`)
    assert.ok(bytes > size, `${target} after ${bytes} bytes`)
  }
  await Promise.all([read('/files?mib=16&how=length', 16 * MIB), read('/files?mib=16&how=chunked', 16 * MIB), read('/large', 16_000_000)])
})

test('the end of a response reaches a client that pauses before it, also when the connection closes behind it', async (t) => {
  const read = async (target: string, fields: string[]) => {
    const client = await openClient(t, port)
    client.socket.pause()
    client.send(request('GET', target, fields))
    // Longer than the gateway waits for a client that has everything.
    await sleep(2600)
    client.socket.resume()
    const { body } = await client.response({ timeoutMs: 10_000 })
    assert.equal(body.length, target === '/large' ? 16_000_000 : 8 * MIB, `${target} ${fields}`)
  }
  const targets = ['/large', '/files?mib=8&how=length', '/files?mib=8&how=close']
  await Promise.all(targets.flatMap((target) => [read(target, []), read(target, ['Connection: close'])]))
})

test('small and large chunks in turn to a client that stops and starts', async (t) => {
  let sent = 0
  upstream.answer = async (_, { socket, ...connection }) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const large = `${(40_000).toString(16)}\r\n${'L'.repeat(40_000)}\r\n`
    const small = '3\r\nabc\r\n'
    for (let i = 0; i < 400; i++) {
      sent += 40_003
      if (!socket.write(large + small, 'latin1')) await drained(socket)
      await sleep(1)
    }
    socket.write('0\r\n\r\n')
  }
  const client = await openClient(t, port)
  client.send(request())
  for (let i = 0; i < 12 && client.ended === null; i++) {
    client.socket.pause()
    await sleep(150)
    client.socket.resume()
    await sleep(20)
  }
  const { body } = await client.response({ timeoutMs: 15_000 })
  assert.equal(body.length, sent)
  client.send(request())
  upstream.reset()
})

test('many transfers at once, at different speeds, mix no bytes', async (t) => {
  const expected = (mib: number) => {
    const hash = createHash('sha256')
    for (let i = 0; i < mib; i++) hash.update(noise)
    return hash.digest('hex')
  }
  const download = async (i: number) => {
    const how = ['length', 'chunked', 'close'][i % 3]!
    const mib = 4 + (i % 5) * 3
    const response = await fetch(`http://127.0.0.1:${port}/files?mib=${mib}&how=${how}`)
    const hash = createHash('sha256')
    for await (const piece of response.body!) {
      hash.update(piece)
      if (i % 2 === 0) await sleep(i % 7)
    }
    assert.equal(hash.digest('hex'), expected(mib), `${how} ${mib}`)
  }
  const upload = async (i: number) => {
    const mib = 4 + i
    const client = await openClient(t, port)
    const isChunked = i % 2 === 0
    client.send(request('PUT', `/files?ms=${i % 3}`, [isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${mib * MIB}`]))
    for (let n = 0; n < mib; n++) {
      const piece = isChunked ? Buffer.concat([Buffer.from(`${MIB.toString(16)}\r\n`), noise, Buffer.from('\r\n')]) : noise
      if (!client.socket.write(piece)) await new Promise((resolve) => client.socket.once('drain', resolve))
    }
    if (isChunked) client.send('0\r\n\r\n')
    const response = await client.response({ timeoutMs: 20_000 })
    assert.equal(statusOf(response), 200)
    assert.equal(response.body, expected(mib))
  }
  await Promise.all([...Array.from({ length: 12 }, (_, i) => download(i)), ...Array.from({ length: 8 }, (_, i) => upload(i))])
})
