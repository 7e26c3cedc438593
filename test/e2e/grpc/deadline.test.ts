import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseGrpcTimeoutMs } from '../../../src/codec/grpc/timeout.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import {
  BIDI,
  collectMessages,
  createClient,
  echoMessage,
  echoText,
  frame,
  gatewayConfig,
  grpc,
  metricOf,
  respondWith,
  SERVER_STREAM,
  startEcho,
  startHttp2Server,
  unary,
} from './kit.ts'

const MESSAGE = echoMessage('hello')

describe('the deadline of a call', () => {
  it('ends it through two gateways, and the server sees the cancellation', async (t) => {
    let cancelledMs = 0
    let onCancelled = (): void => {}
    const slow = await startEcho(t, {
      UnaryEcho: (call) =>
        call.on('cancelled', () => {
          cancelledMs = performance.now()
          onCancelled()
        }),
    })
    const inner = await startSluice(t, gatewayConfig([slow.address]))
    const outer = await startSluice(t, gatewayConfig([`127.0.0.1:${inner.port()}`]))
    const client = createClient(t, outer.port())
    // The connections are open, and the code is warm.
    for (let i = 0; i < 3; i++) await unary(client, MESSAGE, { path: '/echo.Echo/Unheard' })
    // The best of many: other programs may keep some of these waiting.
    let worstMs = Number.POSITIVE_INFINITY
    for (let i = 0; i < 12 && worstMs > 30; i++) {
      const startedMs = performance.now()
      const seen = Promise.withResolvers<void>()
      onCancelled = () => seen.resolve()
      const { code } = await unary(client, MESSAGE, { deadline: Date.now() + 300 })
      const tookMs = performance.now() - startedMs
      await seen.promise
      assert.equal(grpc.status[code], 'DEADLINE_EXCEEDED')
      worstMs = Math.max(Math.abs(tookMs - 300), Math.abs(cancelledMs - startedMs - 300))
    }
    assert.ok(worstMs <= 30, `the client or the server was ${worstMs} ms off`)
  })

  it('is kept by the gateway itself, when the client does not', async (t) => {
    const resets: number[] = []
    const silent = await startHttp2Server(t, (stream) => stream.on('close', () => resets.push(stream.rstCode)))
    const gateway = await startSluice(t, gatewayConfig([silent.address], { breaker: { minRequests: 1 } }))
    const client = createClient(t, gateway.port())
    for (let i = 0; i < 3; i++) {
      const metadata = new grpc.Metadata()
      metadata.set('grpc-timeout', '150m')
      const startedMs = performance.now()
      const { code } = await unary(client, MESSAGE, { metadata })
      const tookMs = performance.now() - startedMs
      assert.equal(grpc.status[code], 'DEADLINE_EXCEEDED', 'not the breaker: the clients chose this deadline')
      assert.ok(tookMs >= 149 && tookMs < 5000, `took ${tookMs} ms`)
    }
    await waitFor('the end of each stream', () => resets.length === 3)
    assert.deepEqual(resets, [8, 8, 8], 'CANCEL')
    const calls = await metricOf(gateway.adminUrl, 'sluice_grpc_calls_total')
    assert.deepEqual(calls, { 'grpc_status="DEADLINE_EXCEEDED",route="all"': 3 })
  })

  it('is told to the endpoint less what has passed, and not at all when there is none', async (t) => {
    const seen: (string | undefined)[] = []
    const server = await startHttp2Server(t, (stream, headers) => {
      seen.push(headers['grpc-timeout'] as string | undefined)
      assert.equal(headers['x-sluice-timeout'], undefined)
      assert.equal(headers['te'], 'trailers')
      respondWith(stream, { 'grpc-status': '0' })
      stream.end(frame(MESSAGE))
    })
    const gateway = await startSluice(t, gatewayConfig([server.address]))
    const client = createClient(t, gateway.port())
    for (const value of [null, '5S', '2000000u', '1H', 'soon', '123456789m']) {
      const metadata = new grpc.Metadata()
      if (value !== null) metadata.set('grpc-timeout', value)
      await unary(client, MESSAGE, { metadata })
    }
    assert.deepEqual([seen[0], seen[4], seen[5]], [undefined, undefined, undefined])
    const told = seen.slice(1, 4).map((text) => parseGrpcTimeoutMs(text as string))
    for (const [i, givenMs] of [5000, 2000, 3_600_000].entries()) {
      assert.ok((told[i] as number) <= givenMs && (told[i] as number) > givenMs - 1500, `told ${told[i]} of ${givenMs}`)
    }
  })

  it('stands while a long request is held up and goes on again', async (t) => {
    const lazy = await startHttp2Server(t, (stream) => {
      stream.pause()
      setTimeout(() => stream.resume(), 100)
    })
    const gateway = await startSluice(t, gatewayConfig([lazy.address]))
    const metadata = new grpc.Metadata()
    metadata.set('grpc-timeout', '400m')
    const call = BIDI(createClient(t, gateway.port()), {}, metadata)
    for (let i = 0; i < 10; i++) call.write(Buffer.alloc(100_000))
    const { code } = await collectMessages(call)
    assert.equal(grpc.status[code], 'DEADLINE_EXCEEDED')
  })

  it('ends a stream that runs too', async (t) => {
    const endless = await startEcho(t, {
      ServerStreamingEcho: (call) => {
        const timer = setInterval(() => call.write(call.request), 20)
        call.on('cancelled', () => clearInterval(timer))
      },
    })
    const gateway = await startSluice(t, gatewayConfig([endless.address]))
    const metadata = new grpc.Metadata()
    metadata.set('grpc-timeout', '1S')
    const { messages, code } = await collectMessages(SERVER_STREAM(createClient(t, gateway.port()), MESSAGE, {}, metadata))
    assert.ok(messages.length > 2, `${messages.length} messages came`)
    assert.equal(grpc.status[code], 'DEADLINE_EXCEEDED')
  })
})

describe('the timeouts of the gateway', () => {
  it('make a call UNAVAILABLE when the head does not come', async (t) => {
    const silent = await startEcho(t, { UnaryEcho: () => {} })
    const gateway = await startSluice(t, gatewayConfig([silent.address], { timeouts: { request: '150ms' }, retry: null }))
    const { code } = await unary(createClient(t, gateway.port()), MESSAGE, { deadline: Date.now() + 5000 })
    assert.equal(grpc.status[code], 'UNAVAILABLE')
  })

  it('leave a stream alone that has begun, with or without a deadline', async (t) => {
    const slow = await startEcho(t)
    const gateway = await startSluice(t, gatewayConfig([slow.address], { timeouts: { request: '150ms' } }))
    const client = createClient(t, gateway.port())
    for (const options of [{}, { deadline: Date.now() + 20_000 }]) {
      const call = BIDI(client, options)
      const answers = collectMessages(call)
      for (const text of ['one', 'two', 'three']) {
        call.write(echoMessage(text))
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
      call.end()
      const { messages, code } = await answers
      assert.deepEqual(messages.map(echoText), ['one', 'two', 'three'])
      assert.equal(code, grpc.status.OK)
    }
  })

  it('let a client be silent once it has been answered', async (t) => {
    const telling = await startEcho(t, {
      BidirectionalStreamingEcho: (call) => {
        let told = 0
        const timer = setInterval(() => {
          call.write(MESSAGE)
          if (++told === 8) call.end()
        }, 250)
        call.on('close', () => clearInterval(timer))
      },
    })
    const listeners = { web: { address: '127.0.0.1:0', timeouts: { body: '1s' } } }
    const gateway = await startSluice(t, gatewayConfig([telling.address], {}, { listeners }))
    const { messages, code } = await collectMessages(BIDI(createClient(t, gateway.port())))
    assert.equal(messages.length, 8)
    assert.equal(code, grpc.status.OK)
  })

  it('end a stream in which nothing moves as UNAVAILABLE', async (t) => {
    const quiet = await startEcho(t, { ServerStreamingEcho: (call) => void call.write(call.request) })
    const gateway = await startSluice(t, gatewayConfig([quiet.address], { timeouts: { idle: '200ms' } }))
    const { messages, code } = await collectMessages(SERVER_STREAM(createClient(t, gateway.port()), MESSAGE))
    assert.equal(messages.length, 1)
    assert.equal(grpc.status[code], 'UNAVAILABLE')
  })
})
