/** Many streams, large bodies and slow readers on one connection, and how much the gateway holds for them. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type http2 from 'node:http2'
import type { Writable } from 'node:stream'
import { after, test } from 'node:test'
import { requirePrograms } from '../../support/programs.ts'
import { runProgram } from '../../support/run.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { residentMiB, sleep, startGateway } from '../http1/kit.ts'
import { ask, block, codeOf, collect, connect, DATA, frame, get, HEADERS, hello, openRaw, RST_STREAM, u32, WINDOW_UPDATE } from './kit.ts'

const { h2load } = requirePrograms(['h2load'])
const scope = { after }
const MIB = 1024 ** 2
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

/** `GET ?mib=n`: n MiB; PUT: the hash of what came, read as slowly as `?ms` says; else the path. */
const upstream = await startUpstream(scope, async (incoming, outgoing) => {
  const { searchParams, pathname } = new URL(incoming.url!, 'http://a')
  if (incoming.method === 'PUT') {
    const hash = createHash('sha256')
    let size = 0
    try {
      for await (const piece of incoming) {
        hash.update(piece as Buffer)
        size += (piece as Buffer).length
        if (searchParams.has('ms')) await sleep(Number(searchParams.get('ms')))
      }
    } catch {
      // The client has left: it is what some tests are about.
      return
    }
    outgoing.end(`${size} ${hash.digest('hex')}`)
    return
  }
  const mib = Number(searchParams.get('mib') ?? 0)
  if (mib === 0) return void outgoing.end(pathname)
  for (let i = 0; i < mib && !outgoing.destroyed; i++) {
    if (!outgoing.write(noise)) await drained(outgoing)
  }
  outgoing.end()
})
const gateway = await startGateway(scope, [upstream.address], {
  listener: { limits: { body: '2GiB' }, http2: { maxConcurrentStreams: 150 } },
})
const port = gateway.port()

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  return Number(new RegExp(`^${name}\\{[^}]*\\} (.*)$`, 'm').exec(text)?.[1])
}

function hashOf(mib: number): string {
  const hash = createHash('sha256')
  for (let i = 0; i < mib; i++) hash.update(noise)
  return hash.digest('hex')
}

/** Reads a whole response: its size and hash. */
async function download(session: http2.ClientHttp2Session, mib: number, pauseMs = 0): Promise<{ size: number; hash: string }> {
  const stream = session.request({ ':path': `/?mib=${mib}` })
  const hash = createHash('sha256')
  let size = 0
  for await (const piece of stream) {
    hash.update(piece as Buffer)
    size += (piece as Buffer).length
    if (pauseMs > 0) await sleep(pauseMs)
  }
  return { size, hash: hash.digest('hex') }
}

async function upload(session: http2.ClientHttp2Session, mib: number, path = '/'): Promise<string> {
  const stream = session.request({ ':method': 'PUT', ':path': path })
  const answer = collect(stream)
  for (let i = 0; i < mib; i++) {
    if (!stream.write(noise)) await drained(stream)
  }
  stream.end()
  return (await answer).body
}

test('a hundred requests at a time on one connection each get their own answer', async (t) => {
  const session = connect(t, port)
  await ask(session)
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(session, { ':path': `/${round}/${i}` })))
    for (const [i, { body }] of answers.entries()) assert.equal(body, `/${round}/${i}`)
  }
})

test('large bodies both ways arrive whole, at the same time', async (t) => {
  const session = connect(t, port)
  const [down, up, again, sum] = await Promise.all([download(session, 20), upload(session, 20), download(session, 7), upload(session, 3)])
  assert.deepEqual(down, { size: 20 * MIB, hash: hashOf(20) })
  assert.deepEqual(again, { size: 7 * MIB, hash: hashOf(7) })
  assert.equal(up, `${20 * MIB} ${hashOf(20)}`)
  assert.equal(sum, `${3 * MIB} ${hashOf(3)}`)
})

test('a window of a few bytes is kept to, and filled', async (t) => {
  const session = connect(t, port, { settings: { initialWindowSize: 1000 } })
  assert.deepEqual(await download(session, 1), { size: MIB, hash: hashOf(1) })
})

test('memory stays flat however much goes through, and however slowly it is taken', { timeout: 120_000 }, async (t) => {
  const session = connect(t, port)
  await Promise.all([download(session, 20), upload(session, 20)])
  const before = await residentMiB(gateway.pid)
  await Promise.all([download(session, 200), upload(session, 100)])
  const through = (await residentMiB(gateway.pid)) - before
  assert.ok(through < 40, `${through} MiB more after 300 MiB`)
  // Fifty clients' requests for 50 MiB each, of which nobody reads anything.
  const lazy = connect(t, port)
  const streams = Array.from({ length: 50 }, () => lazy.request({ ':path': '/?mib=50' }))
  for (const stream of streams) stream.on('error', () => {})
  await sleep(1500)
  const held = (await residentMiB(gateway.pid)) - before
  assert.ok(held < 120, `${held} MiB more with 50 streams that nobody reads`)
  for (const stream of streams) stream.close(8)
  assert.equal((await ask(session)).status, 200)
})

test('an upload to a slow service is held back, and does not hold back others', async (t) => {
  const session = connect(t, port)
  await ask(session)
  const before = await residentMiB(gateway.pid)
  const slow = upload(session, 8, '/?ms=20')
  await sleep(300)
  const answers = await Promise.all(Array.from({ length: 20 }, () => upload(session, 1)))
  for (const answer of answers) assert.equal(answer, `${MIB} ${hashOf(1)}`)
  assert.ok((await residentMiB(gateway.pid)) - before < 60)
  assert.equal(await slow, `${8 * MIB} ${hashOf(8)}`)
})

test('a client with wide windows that stops reading holds up its response, and loses nothing of it', async (t) => {
  const client = await openRaw(t, port)
  const before = await residentMiB(gateway.pid)
  client.send(hello([4, 2 ** 31 - 1]), frame(WINDOW_UPDATE, 0, 0, u32(2 ** 30)), get(1, '/?mib=60'), get(3, '/?mib=60'))
  client.socket.pause()
  await sleep(1000)
  const held = (await residentMiB(gateway.pid)) - before
  assert.ok(held < 30, `${held} MiB`)
  client.socket.resume()
  for (const id of [1, 3]) {
    await client.frame((one) => one.type === DATA && one.id === id && (one.flags & 1) === 1, 30_000)
    const hash = createHash('sha256')
    for (const { type, id: stream, payload } of client.frames) if (type === DATA && stream === id) hash.update(payload)
    assert.equal(hash.digest('hex'), hashOf(60))
  }
})

test('an upload that nobody takes stops', async (t) => {
  const deaf = await startRawUpstream(t, (socket) => void socket.pause())
  const other = await startGateway(t, [deaf.address], { listener: { limits: { body: '2GiB' } } })
  const stream = connect(t, other.port()).request({ ':method': 'PUT', ':path': '/' })
  stream.on('error', () => {})
  let accepted = 0
  const write = () => {
    while (accepted < 100 && stream.write(noise, () => accepted++));
  }
  stream.on('drain', write)
  write()
  await sleep(2000)
  assert.ok(accepted < 30, `${accepted} MiB were taken`)
  assert.ok((await residentMiB(other.pid)) < 250)
})

test('streams that are reset in the middle of their bodies leave the others alone', async (t) => {
  const session = connect(t, port)
  const kept = download(session, 30)
  for (let i = 0; i < 30; i++) {
    const stream = session.request({ ':path': '/?mib=10' })
    stream.on('error', () => {})
    stream.once('data', () => stream.close(8))
    await new Promise((resolve) => stream.once('close', resolve))
  }
  assert.deepEqual(await kept, { size: 30 * MIB, hash: hashOf(30) })
  await waitFor('no request to be left', async () => (await gauge('sluice_requests_in_flight')) === 0)
  assert.ok((await gauge('sluice_http2_streams')) < 1)
})

test('uploads that are reset, with half of the windows used, do not use them up', async (t) => {
  const session = connect(t, port)
  for (let i = 0; i < 40; i++) {
    const stream = session.request({ ':method': 'PUT', ':path': '/?ms=1000' })
    stream.on('error', () => {})
    stream.write(noise.subarray(0, 200_000))
    await sleep(3)
    stream.close(8)
  }
  assert.equal(await upload(session, 5), `${5 * MIB} ${hashOf(5)}`)
})

test('h2load gets every answer', async () => {
  const { stdout, code } = await runProgram(h2load, ['-c8', '-m20', '-n4000', `http://127.0.0.1:${port}/`])
  assert.equal(code, 0)
  assert.match(stdout, /4000 succeeded, 0 failed, 0 errored/)
})

test('a response waits for the window of its stream, and its trailing frame too', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello([4, 10]), get(1, '/0123456789abcdef'))
  await client.frame((one) => one.type === DATA && one.id === 1)
  await sleep(50)
  const sent = () => client.frames.filter((one) => one.type === DATA && one.id === 1)
  assert.equal(Buffer.concat(sent().map((one) => one.payload)).toString(), '/012345678')
  client.send(frame(WINDOW_UPDATE, 0, 1, u32(100)))
  const last = await client.frame((one) => one.type === DATA && (one.flags & 1) === 1)
  assert.equal(last?.payload.toString(), '9abcdef')
})

test('two hundred requests at once: what is beyond the limit is refused, what is not is answered', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), ...Array.from({ length: 200 }, (_, i) => frame(HEADERS, 4, 1 + 2 * i, block('PUT'))))
  await client.frame((one) => one.type === RST_STREAM && one.id === 399)
  const refused = client.frames.filter((one) => one.type === RST_STREAM && codeOf(one) === 7)
  assert.equal(refused.length, 50)
  for (let i = 0; i < 150; i++) client.send(frame(DATA, 1, 1 + 2 * i, 'x'))
  await waitFor('150 answers', () => client.frames.filter((one) => one.type === HEADERS).length === 150)
})
