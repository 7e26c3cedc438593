import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import {
  BIDI,
  clientStream,
  collectMessages,
  createClient,
  echoMessage,
  echoText,
  gatewayConfig,
  grpc,
  metricOf,
  respondWith,
  SERVER_STREAM,
  startEcho,
  startHttp2Server,
  unary,
} from './kit.ts'

const echo = await startEcho({ after })
const gateway = await startSluice({ after }, gatewayConfig([echo.address]))
const client = createClient({ after }, gateway.port())

const MESSAGE = echoMessage('this is examples/metadata')

describe('gRPC through the gateway', () => {
  it('carries a unary call with metadata, binary too, in head and trailers', async () => {
    const metadata = new grpc.Metadata()
    metadata.add('timestamp', 'Jan  2 15:04:05.000000000')
    metadata.add('authorization', 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.x')
    metadata.add('blob-bin', Buffer.from([0, 255, 10, 13, 128]))
    const { code, message, head, trailers } = await unary(client, MESSAGE, { metadata })
    assert.equal(code, grpc.status.OK)
    assert.deepEqual(message, MESSAGE)
    for (const fields of [head, trailers]) {
      assert.deepEqual(fields?.get('timestamp'), ['Jan  2 15:04:05.000000000'])
      assert.deepEqual(fields?.get('blob-bin'), [Buffer.from([0, 255, 10, 13, 128])])
      assert.deepEqual(fields?.get('authorization'), [], 'what the client sent does not come back')
    }
  })

  it('carries ten messages of each kind of stream, in order', async () => {
    const served = await collectMessages(SERVER_STREAM(client, MESSAGE))
    assert.equal(served.code, grpc.status.OK)
    assert.deepEqual(
      served.messages,
      Array.from({ length: 10 }, () => MESSAGE),
    )

    const { call, done } = clientStream(client)
    for (let i = 0; i < 10; i++) call.write(echoMessage(`message ${i}`))
    call.end()
    assert.equal(echoText((await done).message as Buffer), 'message 9')

    const both = BIDI(client)
    const answers = collectMessages(both)
    for (let i = 0; i < 10; i++) both.write(echoMessage(`message ${i}`))
    both.end()
    assert.deepEqual(
      (await answers).messages.map(echoText),
      Array.from({ length: 10 }, (_, i) => `message ${i}`),
    )
  })

  it('carries the bytes of a message as they are', async (t) => {
    const body = Promise.withResolvers<string>()
    const server = await startHttp2Server(t, (stream) => {
      const pieces: Buffer[] = []
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => {
        const bytes = Buffer.concat(pieces)
        body.resolve(bytes.toString('latin1'))
        respondWith(stream, { 'grpc-status': '0' })
        stream.end(bytes)
      })
    })
    const other = createClient(t, (await startSluice(t, gatewayConfig([server.address]))).port())
    assert.deepEqual((await unary(other, MESSAGE)).message, MESSAGE)
    assert.equal(await body.promise, '\x00\x00\x00\x00\x1b\x0a\x19this is examples/metadata')
  })

  it('lets both directions of a stream wait for each other', async () => {
    const call = BIDI(client)
    const head = new Promise((resolve) => call.once('metadata', resolve))
    await head
    for (let i = 0; i < 20; i++) {
      const answer = new Promise<Buffer>((resolve) => call.once('data', resolve))
      call.write(echoMessage(`ping ${i}`))
      assert.equal(echoText(await answer), `ping ${i}`)
    }
    const end = new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve))
    call.end()
    assert.equal((await end).code, grpc.status.OK)
  })

  it('carries the kinds of call with 10,000 messages', { timeout: 120_000 }, async () => {
    const count = 10_000
    const unaries = await inParallel(
      count,
      100,
      async (i) => echoText((await unary(client, echoMessage(`${i}`))).message as Buffer) === `${i}`,
    )
    assert.equal(unaries, count)

    const wanted = new grpc.Metadata()
    wanted.set('count', String(count))
    const served = await collectMessages(SERVER_STREAM(client, MESSAGE, {}, wanted))
    assert.equal(served.messages.length, count)

    const { call, done } = clientStream(client)
    await writeAll(call, count)
    assert.equal(echoText((await done).message as Buffer), `${count - 1}`)

    const both = BIDI(client)
    const answers = collectMessages(both)
    await writeAll(both, count)
    const { messages } = await answers
    assert.deepEqual(
      messages.map(echoText),
      Array.from({ length: count }, (_, i) => `${i}`),
    )
  })

  it('passes on a status with its text and metadata, with a head before it or without', async (t) => {
    const metadata = new grpc.Metadata()
    metadata.add('reason-bin', Buffer.from([1, 2, 3]))
    const failing = await startEcho(t, {
      UnaryEcho: (call, callback) => {
        if (call.metadata.get('head').length > 0) call.sendMetadata(new grpc.Metadata())
        callback({ code: grpc.status.NOT_FOUND, details: 'no 小鱼, 100% sure', metadata })
      },
    })
    const other = createClient(t, (await startSluice(t, gatewayConfig([failing.address]))).port())
    const withHead = new grpc.Metadata()
    withHead.add('head', 'yes')
    for (const given of [new grpc.Metadata(), withHead]) {
      const { code, details, trailers } = await unary(other, MESSAGE, { metadata: given })
      assert.equal(code, grpc.status.NOT_FOUND)
      assert.equal(details, 'no 小鱼, 100% sure')
      assert.deepEqual(trailers?.get('reason-bin'), [Buffer.from([1, 2, 3])])
    }
  })

  it('answers for a method the server does not have as the server does', async () => {
    const { code, details } = await unary(client, MESSAGE, { path: '/other.Service/Unheard' })
    assert.equal(code, grpc.status.UNIMPLEMENTED)
    assert.match(details, /other\.Service\/Unheard/)
  })

  it('tells the server when the client cancels', async (t) => {
    const cancelled = Promise.withResolvers<void>()
    const slow = await startEcho(t, { UnaryEcho: (call) => call.on('cancelled', () => cancelled.resolve()) })
    const other = createClient(t, (await startSluice(t, gatewayConfig([slow.address]))).port())
    const call = other.makeUnaryRequest(
      '/echo.Echo/UnaryEcho',
      (b: Buffer) => b,
      (b: Buffer) => b,
      MESSAGE,
      () => {},
    )
    call.on('error', () => {})
    setTimeout(() => call.cancel(), 100)
    await cancelled.promise
  })

  it('spreads calls, not connections, over the endpoints', async (t) => {
    const servers = [await startEcho(t), await startEcho(t)]
    const both = await startSluice(t, gatewayConfig(servers.map(({ address }) => address)))
    const other = createClient(t, both.port())
    for (let i = 0; i < 20; i++) assert.equal((await unary(other, MESSAGE)).code, grpc.status.OK)
    assert.deepEqual(
      servers.map(({ calls }) => calls()),
      [10, 10],
    )
  })

  it('counts calls by status and messages by direction', async (t) => {
    const counted = await startSluice(t, gatewayConfig([echo.address]))
    const other = createClient(t, counted.port())
    await unary(other, MESSAGE)
    await unary(other, MESSAGE, { path: '/other.Service/Unheard' })
    await collectMessages(SERVER_STREAM(other, MESSAGE))
    const calls = await metricOf(counted.adminUrl, 'sluice_grpc_calls_total')
    assert.deepEqual(calls, { 'grpc_status="OK",route="all"': 2, 'grpc_status="UNIMPLEMENTED",route="all"': 1 })
    const messages = await metricOf(counted.adminUrl, 'sluice_grpc_messages_total')
    assert.deepEqual(messages, { 'direction="request",route="all"': 3, 'direction="response",route="all"': 11 })
  })
})

async function inParallel(count: number, width: number, work: (i: number) => Promise<boolean>): Promise<number> {
  let next = 0
  let good = 0
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) if (await work(next++)) good++
    }),
  )
  return good
}

async function writeAll(call: grpc.ClientWritableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (!call.write(echoMessage(`${i}`))) await new Promise((resolve) => call.once('drain', resolve))
  }
  call.end()
}
