/** HTTP/2 towards services: messages, from clients of either version. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { requirePrograms } from '../../support/programs.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import {
  bothClients,
  type Client,
  type Http2Upstream,
  type StreamHandler,
  startHttp2Upstream,
  startNghttpd,
  toService,
} from './upstream-kit.ts'

const { nghttpd } = requirePrograms(['nghttpd'])

interface Bench {
  sluice: SluiceProcess
  upstream: Http2Upstream
  clients: Client[]
}

async function start(t: TestContext, handler: StreamHandler, service: object = {}): Promise<Bench> {
  const upstream = await startHttp2Upstream(t, handler)
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ...service }))
  return { sluice, upstream, clients: bothClients(t, sluice) }
}

/** Answers with what came. */
const echo: StreamHandler = (stream, headers) => {
  const pieces: Buffer[] = []
  let trailers: object = {}
  stream.on('trailers', (fields) => (trailers = fields))
  stream.on('data', (data: Buffer) => pieces.push(data))
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' })
    stream.end(JSON.stringify({ ...headers, body: Buffer.concat(pieces).toString('latin1'), trailers: { ...trailers } }))
  })
}

test('a request arrives whole, and over one connection', async (t) => {
  const { clients, upstream, sluice } = await start(t, echo)
  for (const client of clients) {
    const answer = await client.ask({ path: '/a/b?c=d', body: 'hello', headers: { cookie: 'a=1; b=2', 'x-thing': 'Some Value' } })
    assert.equal(answer.status, 200, client.name)
    const seen = JSON.parse(answer.body) as Record<string, string>
    assert.equal(seen[':method'], 'POST')
    assert.equal(seen[':scheme'], 'http')
    assert.equal(seen[':path'], '/a/b?c=d')
    assert.equal(seen[':authority'], `127.0.0.1:${sluice.port()}`)
    assert.equal(seen['host'], undefined)
    assert.equal(seen['cookie'], 'a=1; b=2')
    assert.equal(seen['x-thing'], 'Some Value')
    assert.equal(seen['body'], 'hello')
    assert.equal(seen['x-forwarded-for'], '127.0.0.1')
    assert.equal(seen['connection'], undefined)
  }
  assert.equal(upstream.connections, 1)
})

test('hostHeader decides about :authority', async (t) => {
  for (const hostHeader of ['endpoint', 'app.internal']) {
    const { clients, upstream } = await start(t, echo, { hostHeader })
    for (const client of clients) {
      const seen = JSON.parse((await client.ask()).body) as Record<string, string>
      assert.equal(seen[':authority'], hostHeader === 'endpoint' ? upstream.address : hostHeader)
    }
  }
})

test('a body of unknown length goes through in both directions', async (t) => {
  const { clients } = await start(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  for (const client of clients) {
    const body = 'x'.repeat(100_000)
    const headers: Record<string, string> = client.name === 'HTTP/2' ? {} : { 'transfer-encoding': 'chunked' }
    const answer = await client.ask({ body, headers })
    assert.equal(answer.body, body, client.name)
    assert.equal(answer.headers['content-length'], undefined)
  }
})

test('trailers go through in both directions', async (t) => {
  const { clients } = await start(t, (stream) => {
    let trailers: Record<string, unknown> = {}
    stream.on('trailers', (fields) => (trailers = fields))
    stream.resume()
    stream.on('end', () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(trailers['x-check']), 'x-more': '2' }))
      stream.end('body')
    })
  })
  for (const client of clients) {
    const answer = await client.ask({ body: 'some', headers: { te: 'trailers' }, trailers: { 'x-check': 'abc' } })
    assert.equal(answer.body, 'body', client.name)
    assert.equal(answer.trailers?.['x-sum'], 'abc', client.name)
    assert.equal(answer.trailers?.['x-more'], '2', client.name)
  }
})

test('interim responses go through', async (t) => {
  const { clients } = await start(t, (stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' })
    stream.respond({ ':status': 200 })
    stream.end('done')
  })
  for (const client of clients) {
    const answer = await client.ask()
    assert.deepEqual([answer.status, answer.interim, answer.body], [200, [103], 'done'], client.name)
  }
})

test('responses without a body are complete at once', async (t) => {
  const { clients, upstream } = await start(t, (stream, headers) => {
    const path = headers[':path'] as string
    if (path === '/head') stream.respond({ ':status': 200, 'content-length': '1234' }, { endStream: true })
    else if (path === '/empty') stream.respond({ ':status': 200 }, { endStream: true })
    else stream.respond({ ':status': Number(path.slice(1)) }, { endStream: true })
  })
  for (const client of clients) {
    const head = await client.ask({ method: 'HEAD', path: '/head' })
    assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '1234', ''], client.name)
    for (const status of [204, 304]) {
      const answer = await client.ask({ path: `/${status}` })
      assert.deepEqual([answer.status, answer.body], [status, ''])
    }
    const empty = await client.ask({ path: '/empty' })
    assert.deepEqual([empty.status, empty.body], [200, ''])
    if (client.name === 'HTTP/1.1') assert.equal(empty.headers['content-length'], '0')
  }
  assert.equal(upstream.connections, 1)
})

test('an answer before the end of the request is passed on, and the connection stays', async (t) => {
  const { clients, upstream } = await start(t, (stream, headers) => {
    if (headers[':method'] === 'POST') {
      stream.respond({ ':status': 413 })
      stream.end('too much')
    } else {
      stream.respond({ ':status': 200 })
      stream.end('fine')
    }
  })
  for (const client of clients) {
    const answer = await client.ask({ body: Buffer.alloc(3_000_000) }).catch((error: NodeJS.ErrnoException) => error)
    // A client of HTTP/1.1 that is still sending may learn of it by a closed connection only.
    if (client.name === 'HTTP/2') assert.ok(!(answer instanceof Error) && answer.status === 413, String(answer))
    assert.equal((await client.ask()).body, 'fine')
  }
  assert.equal(upstream.connections, 1)
})

test('files of nghttpd come whole', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nghttpd-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const content = Buffer.alloc(3_000_000, 'abcdefghijklmnopqrstuvwxyz').toString('latin1')
  writeFileSync(join(folder, 'big.txt'), content)
  writeFileSync(join(folder, 'small.txt'), 'small')
  const endpoint = await startNghttpd(t, nghttpd, folder, ['--trailer', 'x-last: yes'])
  const sluice = await startSluice(t, toService({ endpoints: [endpoint.address] }))
  for (const client of bothClients(t, sluice)) {
    const big = await client.ask({ path: '/big.txt' })
    assert.equal(big.status, 200)
    assert.ok(big.body === content, client.name)
    const answers = await Promise.all(Array.from({ length: 50 }, () => client.ask({ path: '/small.txt' })))
    for (const answer of answers) assert.deepEqual([answer.status, answer.body], [200, 'small'])
    assert.equal((await client.ask({ path: '/none.txt' })).status, 404)
  }
})
