import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { type HttpCheck, MAX_BODY_BYTES } from './http-answer.ts'
import type { ProbeOutcome, ProbeTarget, RunningProbe } from './probe.ts'
import { startProbe } from './start-probe.ts'
import { createTarget } from './virtual-network.contract.ts'

async function listen(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

function serve(t: TestContext, answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void): Promise<number> {
  const server = http2.createServer()
  server.on('session', (session) => session.on('error', () => {}))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    answer(stream, headers)
  })
  return listen(t, server)
}

function targetOf(port: number, check: Partial<HttpCheck> = {}): ProbeTarget {
  const statuses = [{ from: 200, to: 399 }]
  const full: HttpCheck = { kind: 'http', path: '/healthz', method: 'GET', protocol: null, host: null, statuses, match: null, ...check }
  return { ...createTarget(`127.0.0.1:${port}`, { check: full }), isHttp2: true }
}

function start(target: ProbeTarget): { outcome: Promise<ProbeOutcome>; running: RunningProbe } {
  let running: RunningProbe | undefined
  const outcome = new Promise<ProbeOutcome>((resolve) => {
    running = startProbe(target, resolve)
  })
  assert(running !== undefined)
  return { outcome, running }
}

const run = (port: number, check: Partial<HttpCheck> = {}): Promise<ProbeOutcome> => start(targetOf(port, check)).outcome

async function errorOf(port: number, check: Partial<HttpCheck> = {}): Promise<string> {
  const outcome = await run(port, check)
  return outcome.result === 'pass' ? 'passed' : outcome.error
}

describe('a check by HTTP/2', () => {
  it('asks for the path with the host, and closes its connection', async (t) => {
    const seen: IncomingHttpHeaders[] = []
    let closed = 0
    const port = await serve(t, (stream, headers) => {
      seen.push(headers)
      stream.session?.once('close', () => closed++)
      stream.respond({ ':status': 200 })
      stream.end('ok')
    })
    assert.deepEqual(await start({ ...targetOf(port, { path: '/status?full=1' }), hostHeader: 'users.internal' }).outcome, {
      result: 'pass',
    })
    assert.deepEqual(await run(port, { method: 'HEAD' }), { result: 'pass' })
    assert.deepEqual(
      seen.map((headers) => [headers[':method'], headers[':path'], headers[':authority'], headers['user-agent']].join(' ')),
      ['GET /status?full=1 users.internal sluice-health-check', `HEAD /healthz 127.0.0.1:${port} sluice-health-check`],
    )
    for (let i = 0; i < 100 && closed < 2; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(closed, 2)
  })

  it('is judged by its status and body as over HTTP/1.1', async (t) => {
    const port = await serve(t, (stream, headers) => {
      stream.respond({ ':status': Number(headers[':path']?.slice(1)) })
      stream.write('status: gr')
      setTimeout(() => stream.end('ün'), 20)
    })
    assert.deepEqual(await run(port, { path: '/204' }), { result: 'pass' })
    assert.equal(await errorOf(port, { path: '/503' }), 'status 503; expected 200-399')
    assert.deepEqual(await run(port, { path: '/200', match: { test: 'contains', text: 'grün' } }), { result: 'pass' })
    assert.equal(await errorOf(port, { path: '/200', match: { test: 'contains', text: 'rot' } }), 'the body has no "rot"')
  })

  it('looks at the first 64 KiB of a body that has no end', async (t) => {
    const port = await serve(t, (stream) => {
      stream.respond({ ':status': 200 })
      stream.write(`start${'x'.repeat(MAX_BODY_BYTES)}`)
    })
    assert.deepEqual(await run(port, { match: { test: 'contains', text: 'start' } }), { result: 'pass' })
    assert.deepEqual(await run(port), { result: 'pass' })
  })

  it('says in words what went wrong', async (t) => {
    const http1 = await listen(
      t,
      http.createServer((_, response) => response.end('ok')),
    )
    assert.match(await errorOf(http1), /^the answer is not valid HTTP\/2$/)
    const closing = await listen(
      t,
      net.createServer((socket) => socket.once('data', () => socket.end())),
    )
    assert.match(await errorOf(closing), /^the (connection|stream) was closed without an answer$|^connection reset$/)
    const resetting = await serve(t, (stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
    assert.match(await errorOf(resetting), /NGHTTP2_INTERNAL_ERROR/)
    const cutting = await serve(t, (stream) => {
      stream.respond({ ':status': 200 })
      stream.write('half')
      setTimeout(() => stream.session?.destroy(), 20)
    })
    assert.equal(await errorOf(cutting), 'the connection was closed inside the response')
    const server = net.createServer()
    const closed = await listen(t, server)
    server.close()
    await once(server, 'close')
    assert.equal(await errorOf(closed), 'connection refused')
  })

  it('says what it waits for, and frees the connection when it is cancelled', async (t) => {
    const streams: ServerHttp2Stream[] = []
    const port = await serve(t, (stream) => void streams.push(stream))
    const { running, outcome } = start(targetOf(port))
    const stage = (): string => running.stage
    const until = async (wanted: string): Promise<void> => {
      for (let i = 0; i < 200 && stage() !== wanted; i++) await new Promise((resolve) => setTimeout(resolve, 10))
      assert.equal(stage(), wanted)
    }
    assert.equal(stage(), 'connecting')
    await until('waiting for the response')
    for (let i = 0; i < 200 && streams.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    streams[0]?.respond({ ':status': 200 })
    await until('reading the response')
    const closed = new Promise((resolve) => streams[0]?.once('close', resolve))
    running.cancel()
    await closed
    assert.equal(await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 50, 'nothing'))]), 'nothing')
  })
})
