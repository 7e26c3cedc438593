/** What is answered instead of a call that ended with a status of the service. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
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
  startEcho,
  startHttp2Server,
  unary,
} from './kit.ts'

const scope = { after }
const MESSAGE = echoMessage('hello')

const replacement = await startEcho(scope, {
  UnaryEcho: (call, callback) => callback(null, echoMessage(`instead: ${echoText(call.request)}`)),
})
let calls = 0
/** A server that ends every call with the status its path begins with, in the way the path says next: /14/head. */
const failing = await startHttp2Server(scope, (stream, headers) => {
  calls++
  const code = String(headers['code'] ?? '14')
  const status = { 'grpc-status': code, 'grpc-message': 'as told' }
  switch (headers['way'] ?? 'head') {
    case 'head':
      return stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...status }, { endStream: true })
    case 'trailers':
      respondWith(stream, status)
      setTimeout(() => stream.end(), 20)
      return
    case 'message':
      respondWith(stream, status)
      return void stream.end(frame(MESSAGE))
    case 'foreign':
      stream.respond({ ':status': 503, 'content-type': 'text/plain' })
      return void stream.end('no')
    case 'late':
      respondWith(stream, status)
      setTimeout(() => stream.end(), 900)
  }
})
const failingService = { endpoints: [failing.address], protocol: 'grpc', ejection: null, retry: null }
const on = ['unavailable', 'data-loss']
const gateway = await startSluice(
  scope,
  gatewayConfig(
    [],
    {},
    {
      services: {
        other: { endpoints: [replacement.address], protocol: 'grpc' },
        asks: { ...failingService, fallback: { on, to: 'other' } },
        retries: { ...failingService, retry: { on: ['unavailable'], attempts: 2, budget: '100%' }, fallback: { on, to: 'other' } },
        fixed: { ...failingService, fallback: { on, respond: { status: 403, body: 'closed today' } } },
      },
      routes: {
        asks: { match: { headers: { to: 'asks' } }, to: 'asks' },
        retries: { match: { headers: { to: 'retries' } }, to: 'retries' },
        fixed: { match: { headers: { to: 'fixed' } }, to: 'fixed' },
      },
    },
  ),
)
const client = createClient(scope, gateway.port())

function metadataOf(fields: Record<string, string>): grpc.Metadata {
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
  return metadata
}

async function ask(fields: Record<string, string>): Promise<string> {
  const { code, details, message } = await unary(client, MESSAGE, { metadata: metadataOf(fields) })
  return message === null ? `${grpc.status[code]}: ${details}` : echoText(message)
}

describe('a fallback by gRPC status', () => {
  it('asks another service, whichever way the status came', async () => {
    for (const way of ['head', 'trailers', 'foreign']) assert.equal(await ask({ to: 'asks', way }), 'instead: hello', way)
    assert.equal(await ask({ to: 'asks', way: 'trailers', code: '15' }), 'instead: hello')
  })

  it('answers itself', async () => {
    for (const way of ['head', 'trailers', 'foreign']) assert.equal(await ask({ to: 'fixed', way }), 'PERMISSION_DENIED: closed today', way)
  })

  it('is not for other statuses, nor behind a message, nor when the end comes late', async () => {
    assert.equal(await ask({ to: 'asks', way: 'head', code: '5' }), 'NOT_FOUND: as told')
    assert.equal(await ask({ to: 'asks', way: 'trailers', code: '13' }), 'INTERNAL: as told')
    for (const way of ['message', 'late']) assert.equal(await ask({ to: 'asks', way }), 'UNAVAILABLE: as told')
  })

  it('comes after the retries', async () => {
    for (const way of ['head', 'trailers']) {
      const before = calls
      assert.equal(await ask({ to: 'retries', way }), 'instead: hello')
      assert.equal(calls, before + 2)
    }
  })

  it('takes a stream of requests along', async () => {
    const { call, done } = clientStreamWith({ to: 'asks', way: 'head' })
    call.write(MESSAGE)
    call.write(echoMessage('last'))
    call.end()
    assert.equal(await done, 'last')
  })

  it('leaves a stream alone that the client has not ended and that was answered with a head', async () => {
    const call = BIDI(client, {}, metadataOf({ to: 'fixed', way: 'trailers' }))
    call.write(MESSAGE)
    const { code, details } = await collectMessages(call)
    assert.equal(`${grpc.status[code]}: ${details}`, 'UNAVAILABLE: as told')
    call.end()
  })

  it('is counted', async () => {
    const counts = await metricOf(gateway.adminUrl, 'sluice_fallbacks_total')
    assert.ok((counts['cause="status",service="asks"'] ?? 0) >= 4, JSON.stringify(counts))
  })
})

function clientStreamWith(fields: Record<string, string>) {
  const bytesOf = (bytes: Buffer): Buffer => bytes
  let call!: grpc.ClientWritableStream<Buffer>
  const done = new Promise<string>((resolve) => {
    call = client.makeClientStreamRequest('/echo.Echo/ClientStreamingEcho', bytesOf, bytesOf, metadataOf(fields), (error, value) =>
      resolve(error === null ? echoText(value as Buffer) : `${grpc.status[error.code]}: ${error.details}`),
    )
  })
  return { call, done }
}
