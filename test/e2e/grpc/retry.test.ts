import assert from 'node:assert/strict'
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { describe, it, type TestContext } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import {
  collectMessages,
  createClient,
  echoMessage,
  frame,
  gatewayConfig,
  grpc,
  metricOf,
  type Outcome,
  respondWith,
  SERVER_STREAM,
  startHttp2Server,
  unary,
} from './kit.ts'

const MESSAGE = echoMessage('hello')
const OK = { 'grpc-status': '0' }
const UNAVAILABLE = { 'grpc-status': '14', 'grpc-message': 'try again' }

/** A server that fails its first call in some way, and serves the others. */
async function failOnce(t: TestContext, fail: (stream: ServerHttp2Stream) => void) {
  const seen: IncomingHttpHeaders[] = []
  const server = await startHttp2Server(t, (stream, headers) => {
    seen.push(headers)
    if (seen.length === 1) return fail(stream)
    respondWith(stream, OK)
    stream.end(frame(MESSAGE))
  })
  return { address: server.address, seen }
}

async function callThrough(
  t: TestContext,
  address: string,
  retry: object | null,
  options = {},
): Promise<Outcome & { adminUrl: string | null }> {
  const gateway = await startSluice(t, gatewayConfig([address], { retry, ...options }))
  return { ...(await unary(createClient(t, gateway.port()), MESSAGE)), adminUrl: gateway.adminUrl }
}

const trailersOnly = (fields: object) => (stream: ServerHttp2Stream) =>
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...fields }, { endStream: true })

const inTrailers = (fields: Record<string, string>) => (stream: ServerHttp2Stream) => {
  respondWith(stream, fields)
  setTimeout(() => stream.end(), 50)
}

describe('a call that fails before its first message', () => {
  it('is tried again when the policy names its status, in the head or in trailers', async (t) => {
    for (const fail of [trailersOnly(UNAVAILABLE), inTrailers(UNAVAILABLE)]) {
      const server = await failOnce(t, fail)
      const { code, message } = await callThrough(t, server.address, { on: ['unavailable'] })
      assert.equal(grpc.status[code], 'OK')
      assert.deepEqual(message, MESSAGE)
      assert.deepEqual(
        server.seen.map((headers) => headers['grpc-previous-rpc-attempts']),
        [undefined, '1'],
      )
    }
  })

  it('is tried again when the connection or the stream breaks, which is UNAVAILABLE too', async (t) => {
    for (const fail of [(stream: ServerHttp2Stream) => stream.session?.destroy(), (stream: ServerHttp2Stream) => breakAfterHead(stream)]) {
      const server = await failOnce(t, fail)
      assert.equal(grpc.status[(await callThrough(t, server.address, { on: ['unavailable'] })).code], 'OK')
      assert.equal(server.seen.length, 2)
    }
  })

  it('is not tried again by default, nor for another status', async (t) => {
    for (const retry of [{}, { on: ['internal', 'cancelled'] }]) {
      for (const fail of [trailersOnly(UNAVAILABLE), inTrailers(UNAVAILABLE)]) {
        const server = await failOnce(t, fail)
        const { code, details } = await callThrough(t, server.address, retry)
        assert.equal(`${grpc.status[code]} ${details}`, 'UNAVAILABLE try again')
        assert.equal(server.seen.length, 1)
      }
    }
  })

  it('waits as long as the server says, or is left alone when the server says so', async (t) => {
    for (const fail of [trailersOnly, inTrailers]) {
      const patient = await failOnce(t, fail({ ...UNAVAILABLE, 'grpc-retry-pushback-ms': '250' }))
      const startedMs = performance.now()
      const gateway = await startSluice(t, gatewayConfig([patient.address], { retry: { on: ['unavailable'] } }))
      const beforeMs = performance.now()
      assert.ok(beforeMs > startedMs)
      assert.equal((await unary(createClient(t, gateway.port()), MESSAGE)).code, grpc.status.OK)
      const tookMs = performance.now() - beforeMs
      assert.ok(tookMs >= 250 && tookMs < 5000, `took ${tookMs} ms`)
      const firm = await failOnce(t, fail({ ...UNAVAILABLE, 'grpc-retry-pushback-ms': '-1' }))
      assert.equal(grpc.status[(await callThrough(t, firm.address, { on: ['unavailable'] })).code], 'UNAVAILABLE')
      assert.equal(firm.seen.length, 1)
    }
  })

  it('is not tried more often than the policy says, and the last answer is passed on', async (t) => {
    const seen: unknown[] = []
    const server = await startHttp2Server(t, (stream, headers) => {
      seen.push(headers['grpc-previous-rpc-attempts'])
      trailersOnly(UNAVAILABLE)(stream)
    })
    const { code, details, adminUrl } = await callThrough(t, server.address, { on: ['unavailable'], attempts: 3, budget: '100%' })
    assert.equal(`${grpc.status[code]} ${details}`, 'UNAVAILABLE try again')
    assert.deepEqual(seen, [undefined, '1', '2'])
    const retries = await metricOf(adminUrl, 'sluice_upstream_retries_total')
    assert.equal(retries['reason="status",service="echo"'], 2)
  })

  it('is left to the client when the client tries again itself', async (t) => {
    const server = await failOnce(t, trailersOnly(UNAVAILABLE))
    const gateway = await startSluice(t, gatewayConfig([server.address], { retry: { on: ['unavailable'] } }))
    const metadata = new grpc.Metadata()
    metadata.set('grpc-previous-rpc-attempts', '1')
    assert.equal(grpc.status[(await unary(createClient(t, gateway.port()), MESSAGE, { metadata })).code], 'UNAVAILABLE')
    assert.equal(server.seen.length, 1)
  })
})

describe('a call that fails after its first message', () => {
  it('is not tried again', async (t) => {
    const server = await failOnce(t, (stream) => {
      respondWith(stream, UNAVAILABLE)
      stream.end(frame(MESSAGE))
    })
    const gateway = await startSluice(t, gatewayConfig([server.address], { retry: { on: ['unavailable'] } }))
    const { messages, code } = await collectMessages(SERVER_STREAM(createClient(t, gateway.port()), MESSAGE))
    assert.deepEqual(messages, [MESSAGE])
    assert.equal(grpc.status[code], 'UNAVAILABLE')
    assert.equal(server.seen.length, 1)
  })
})

describe('a head that waits', () => {
  it('goes to the client after half a second, and the stream is not cut by the request timeout', async (t) => {
    let finish = () => {}
    const server = await startHttp2Server(t, (stream) => {
      respondWith(stream, OK)
      finish = () => void stream.end(frame(MESSAGE))
    })
    const gateway = await startSluice(t, gatewayConfig([server.address], { retry: { on: ['unavailable'] }, timeouts: { request: '1s' } }))
    const call = SERVER_STREAM(createClient(t, gateway.port()), MESSAGE)
    const startedMs = performance.now()
    let headMs = 0
    call.once('metadata', () => {
      headMs = performance.now() - startedMs
      // Well behind the request timeout.
      setTimeout(() => finish(), 1000)
    })
    const { messages, code } = await collectMessages(call)
    assert.equal(code, grpc.status.OK)
    assert.deepEqual(messages, [MESSAGE])
    assert.ok(headMs >= 450, `the head came after ${headMs} ms`)
  })
})

function breakAfterHead(stream: ServerHttp2Stream): void {
  respondWith(stream, null)
  setTimeout(() => stream.session?.destroy(), 50)
}
