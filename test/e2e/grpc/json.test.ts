/** JSON over HTTP to a gRPC service and back. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { requirePrograms } from '../../support/programs.ts'
import { curl } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { makeDescriptors } from './descriptors.ts'
import { createClient, echoMessage, echoText, frame, gatewayConfig, grpc, respondWith, startEcho, startHttp2Server, unary } from './kit.ts'

requirePrograms(['curl'])
const scope = { after }
const folder = mkdtempSync(join(tmpdir(), 'sluice-json-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const descriptors = join(folder, 'echo.binpb')
writeFileSync(descriptors, makeDescriptors(['echo.proto']))

const STATUSES: Record<string, [number, number]> = {
  CANCELLED: [1, 499],
  UNKNOWN: [2, 500],
  INVALID_ARGUMENT: [3, 400],
  DEADLINE_EXCEEDED: [4, 504],
  NOT_FOUND: [5, 404],
  ALREADY_EXISTS: [6, 409],
  PERMISSION_DENIED: [7, 403],
  RESOURCE_EXHAUSTED: [8, 429],
  FAILED_PRECONDITION: [9, 400],
  UNIMPLEMENTED: [12, 501],
  INTERNAL: [13, 500],
  UNAVAILABLE: [14, 503],
  UNAUTHENTICATED: [16, 401],
}

/** google.rpc.Status with one detail: an echo.EchoRequest. */
function statusDetails(code: number, message: string, detail: string): Buffer {
  const field = (number: number, content: Buffer) => Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content])
  const any = Buffer.concat([field(1, Buffer.from('type.googleapis.com/echo.EchoRequest')), field(2, echoMessage(detail))])
  return Buffer.concat([Buffer.from([8, code]), field(2, Buffer.from(message)), field(3, any)])
}

const echo = await startEcho(scope, {
  UnaryEcho: (call, callback) => {
    const text = echoText(call.request)
    const status = STATUSES[text]
    if (text === 'details') {
      const metadata = new grpc.Metadata()
      metadata.set('grpc-status-details-bin', statusDetails(3, 'bad', 'why'))
      return callback({ code: 3, details: 'bad', metadata })
    }
    if (text === 'never') return
    if (status !== undefined) return callback({ code: status[0], details: `is ${text} 小鱼` })
    const trailers = new grpc.Metadata()
    trailers.set('x-after', 'later')
    const head = new grpc.Metadata()
    for (const value of call.metadata.get('x-mine')) head.add('x-mine', value)
    call.sendMetadata(head)
    callback(
      null,
      text === 'large' ? Buffer.concat([Buffer.from([0x0a, 0x80, 0x80, 0x80, 0x01]), Buffer.alloc(2 * 1024 * 1024, 'x')]) : call.request,
      trailers,
    )
  },
})
const broken = await startHttp2Server(scope, (stream, headers) => {
  switch (headers[':path']) {
    case '/echo.Echo/UnaryEcho':
      respondWith(stream, null)
      stream.write(frame(echoMessage('half')).subarray(0, 7))
      setTimeout(() => stream.destroy(new Error('on purpose')), 20)
      return
    case '/echo.Echo/BidirectionalStreamingEcho':
      respondWith(stream, { 'grpc-status': '0' })
      stream.write(frame(echoMessage('one')))
      stream.end(frame(echoMessage('two')).subarray(0, 8))
      return
    case '/echo.Echo/ClientStreamingEcho':
      // No gRPC server should: a status in the head, and messages behind it.
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'no' })
      stream.end(frame(echoMessage('more')))
      return
    default:
      respondWith(stream, { 'grpc-status': '8', 'grpc-message': 'enough' })
      stream.end(frame(echoMessage('one')))
  }
})
const filters = [{ 'grpc-json': { descriptors, maxMessage: '1MiB', openapi: '/openapi.json' } }]
const gateway = await startSluice(
  scope,
  gatewayConfig(
    [echo.address],
    {},
    {
      services: {
        echo: { endpoints: [echo.address], protocol: 'grpc' },
        broken: { endpoints: [broken.address], protocol: 'grpc', retry: null },
        gone: { endpoints: ['127.0.0.1:1'], protocol: 'grpc', retry: null },
      },
      routes: {
        all: { to: 'echo', filters },
        broken: { match: { prefix: '/broken' }, to: 'broken', filters: [{ 'strip-prefix': '/broken' }, ...filters] },
        gone: { match: { prefix: '/gone' }, to: 'gone', filters: [{ 'strip-prefix': '/gone' }, ...filters] },
      },
    },
  ),
)
const port = gateway.port()
const url = `http://127.0.0.1:${port}`
const ECHO_PATH = '/v1/example/echo'

function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url + path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers })
}

describe('a call by JSON', () => {
  it('is answered to curl', async () => {
    assert.deepEqual(JSON.parse(await curl('-X', 'POST', '-d', '{"message":"11222222"}', url + ECHO_PATH)), { message: '11222222' })
    assert.deepEqual(JSON.parse(await curl('--http2-prior-knowledge', '-d', '{"message":"over h2"}', url + ECHO_PATH)), {
      message: 'over h2',
    })
  })
  it('has head and trailers of the service in its head, and none of gRPC', async () => {
    const response = await post(ECHO_PATH, { message: 'x' }, { 'x-mine': 'yes' })
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'application/json')
    assert.deepEqual([response.headers.get('x-mine'), response.headers.get('x-after')], ['yes', 'later'])
    assert.deepEqual(
      [...response.headers.keys()].filter((name) => name.startsWith('grpc-')),
      [],
    )
    assert.equal(response.headers.get('content-length'), String((await response.text()).length))
  })
  it('can be a GET', async () => {
    assert.deepEqual(await (await fetch(`${url}${ECHO_PATH}/a%20%C3%A4`)).json(), { message: 'a ä' })
  })
  it('is told what the status of the service means', async () => {
    for (const [name, [code, http]] of Object.entries(STATUSES)) {
      const response = await post(ECHO_PATH, { message: name })
      assert.equal(response.status, http, name)
      assert.equal(response.headers.get('grpc-status'), null)
      assert.deepEqual(await response.json(), { code, message: `is ${name} 小鱼`, details: [] })
    }
  })
  it('is told the details of an error, with their fields', async () => {
    const response = await post(ECHO_PATH, { message: 'details' })
    assert.equal(response.status, 400)
    assert.deepEqual(await response.json(), {
      code: 3,
      message: 'bad',
      details: [{ '@type': 'type.googleapis.com/echo.EchoRequest', message: 'why' }],
    })
  })
  it('is refused when it is no such message, without the service', async () => {
    const before = echo.calls()
    const ask = async (body: unknown, headers = {}) => {
      const response = await post(ECHO_PATH, body, headers)
      return [response.status, ((await response.json()) as { message: string }).message] as const
    }
    assert.deepEqual(await ask({ mesage: 1 }), [400, 'mesage: echo.EchoRequest has no such field'])
    assert.match((await ask('{"message":')).join(' '), /^400 the body is not JSON/)
    assert.deepEqual(await ask('null'), [400, 'null is no echo.EchoRequest'])
    assert.deepEqual(await ask('[]'), [400, 'a list is no echo.EchoRequest'])
    assert.match((await ask({ message: 5 })).join(' '), /^400 message: /)
    assert.equal((await ask(`{"message":"${'x'.repeat(1024 * 1024)}"}`))[0], 413)
    assert.equal((await ask('x', { 'content-encoding': 'gzip' }))[0], 415)
    assert.equal((await fetch(`${url}/no/such`)).status, 404)
    const wrong = await fetch(url + ECHO_PATH, { method: 'PUT' })
    assert.deepEqual([wrong.status, wrong.headers.get('allow'), ((await wrong.json()) as { code: number }).code], [405, 'POST', 12])
    assert.equal(echo.calls(), before)
  })
  it('is told errors of the gateway, and of a service that fails', async () => {
    for (const [path, status, code] of [
      ['/gone', 502, 14],
      // Its stream was reset with INTERNAL_ERROR.
      ['/broken', 502, 13],
    ] as const) {
      const response = await post(path + ECHO_PATH, { message: 'x' })
      assert.equal(response.status, status, path)
      assert.equal(response.headers.get('content-type'), 'application/json')
      assert.equal(((await response.json()) as { code: number }).code, code, path)
    }
    const large = await post(ECHO_PATH, { message: 'large' })
    assert.equal(large.status, 502)
    assert.match(((await large.json()) as { message: string }).message, /at most/)
  })
  it('has no trailers of gRPC over HTTP/2', async () => {
    const session = http2.connect(url)
    for (const message of ['NOT_FOUND', 'fine']) {
      const stream = session.request({ ':method': 'POST', ':path': ECHO_PATH })
      let trailers: unknown = null
      stream.on('trailers', (fields) => (trailers = fields))
      stream.end(JSON.stringify({ message }))
      stream.setEncoding('utf8')
      let body = ''
      for await (const part of stream) body += part as string
      assert.match(body, new RegExp(message))
      assert.equal(trailers, null)
    }
    session.close()
  })
  it('ends with its deadline', async () => {
    const before = performance.now()
    const response = await post(ECHO_PATH, { message: 'never' }, { 'grpc-timeout': '200m' })
    const tookMs = performance.now() - before
    assert.deepEqual([response.status, ((await response.json()) as { code: number }).code], [504, 4])
    assert.ok(tookMs >= 190 && tookMs < 2000, String(tookMs))
  })
  it('is told a status in the head, whatever follows it', async () => {
    for (let i = 0; i < 3; i++) {
      const response = await post('/broken/v1/example/collect', '[]')
      assert.equal(response.status, 404)
      assert.deepEqual(await response.json(), { code: 5, message: 'no', details: [] })
    }
  })
  it('leaves connections in order', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const sockets = new Set<unknown>()
    const kinds = [
      [ECHO_PATH, '{"message":"a"}', 'a'],
      [ECHO_PATH, '{"message":"NOT_FOUND"}', 'is NOT_FOUND 小鱼'],
      ['/broken/v1/example/collect', '[]', 'no'],
    ] as const
    for (let i = 0; i < 21; i++) {
      const [path, body, expected] = kinds[i % 3] as (typeof kinds)[number]
      const text = await new Promise<string>((resolve, reject) => {
        const request = http.request({ port, path, method: 'POST', agent }, (response) => {
          sockets.add(response.socket)
          response.setEncoding('utf8')
          let received = ''
          response.on('data', (part: string) => (received += part)).on('end', () => resolve(received))
        })
        request.on('error', reject).end(body)
      })
      assert.equal((JSON.parse(text) as { message: string }).message, expected)
    }
    agent.destroy()
    assert.equal(sockets.size, 1)
  })
})

describe('streams by JSON', () => {
  it('are a list', async () => {
    const response = await fetch(`${url}/v1/example/stream?message=again`)
    assert.equal(response.headers.get('content-type'), 'application/json')
    assert.deepEqual(await response.json(), Array(10).fill({ message: 'again' }))
  })
  it('are lines when that is what is accepted', async () => {
    const response = await fetch(`${url}/v1/example/stream?message=again`, { headers: { accept: 'application/x-ndjson' } })
    assert.equal(response.headers.get('content-type'), 'application/x-ndjson')
    assert.equal(await response.text(), '{"message":"again"}\n'.repeat(10))
  })
  it('end with the error of the service', async () => {
    const error = { error: { code: 8, message: 'enough', details: [] } }
    assert.deepEqual(await (await fetch(`${url}/broken/v1/example/stream`)).json(), [{ message: 'one' }, error])
    const lines = await fetch(`${url}/broken/v1/example/stream`, { headers: { accept: 'application/x-ndjson' } })
    assert.deepEqual(
      (await lines.text())
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as unknown),
      [{ message: 'one' }, error],
    )
  })
  it('end with an error when the service stops inside a message, whatever its status', async () => {
    const response = await post('/broken/echo.Echo/BidirectionalStreamingEcho', '[]')
    const error = { code: 13, message: 'the service ended the call inside a message', details: [] }
    assert.deepEqual(await response.json(), [{ message: 'one' }, { error }])
  })
  it('of requests are a list or lines', async () => {
    for (const body of ['[{"message":"a"},{"message":"b"}]', '{"message":"a"}\n{"message":"b"}\n', '{"message":"a"}{"message":"b"}']) {
      assert.deepEqual(await (await post('/v1/example/collect', body)).json(), { message: 'b' })
    }
  })
  it('of requests are refused with the number of the message', async () => {
    const response = await post('/v1/example/collect', '[{"message":"a"},{"message":2}]')
    assert.equal(response.status, 400)
    const status = (await response.json()) as { code: number; message: string }
    assert.equal(status.code, 3)
    assert.match(status.message, /^message 2: message: /)
  })
  it('go both ways at the same time', { timeout: 120_000 }, async () => {
    const path = '/echo.Echo/BidirectionalStreamingEcho'
    const request = http.request({
      port,
      path,
      method: 'POST',
      headers: { accept: 'application/x-ndjson', 'transfer-encoding': 'chunked' },
    })
    const answered = new Promise<http.IncomingMessage>((resolve) => request.on('response', resolve))
    request.write('{"message":"1"}\n')
    const response = await answered
    response.setEncoding('utf8')
    const lines = response[Symbol.asyncIterator]() as AsyncIterator<string>
    for (let i = 1; i <= 5; i++) {
      assert.equal((await lines.next()).value, `{"message":"${i}"}\n`)
      if (i < 5) request.write(`{"message":"${i + 1}"}\n`)
    }
    request.end()
    assert.equal((await lines.next()).done, true)
  })
  it('are not gathered', { timeout: 120_000 }, async () => {
    const count = 20_000
    const response = await fetch(`${url}/v1/example/stream?message=${'x'.repeat(100)}`, {
      headers: { count: String(count), accept: 'application/x-ndjson' },
    })
    let bytes = 0
    for await (const part of response.body as AsyncIterable<Uint8Array>) bytes += part.length
    assert.equal(bytes, count * ('{"message":""}\n'.length + 100))
  })
})

describe('beside it', () => {
  it('gRPC passes as it is', async () => {
    const { code, message } = await unary(createClient(scope, port), echoMessage('plain'))
    assert.deepEqual([code, echoText(message as Buffer)], [0, 'plain'])
  })
  it('there is an OpenAPI document', async () => {
    const response = await fetch(`${url}/openapi.json`)
    assert.equal(response.headers.get('content-type'), 'application/json')
    const document = (await response.json()) as {
      openapi: string
      paths: Record<string, Record<string, unknown>>
      components: { schemas: object }
    }
    assert.equal(document.openapi, '3.1.0')
    assert.deepEqual(
      Object.entries(document.paths).map(([path, item]) => [path, ...Object.keys(item)]),
      [
        [ECHO_PATH, 'post'],
        [`${ECHO_PATH}/{message}`, 'get'],
        ['/v1/example/stream', 'get'],
        ['/v1/example/collect', 'post'],
        ['/echo.Echo/BidirectionalStreamingEcho', 'post'],
      ],
    )
    assert.deepEqual(Object.keys(document.components.schemas), ['google.rpc.Status', 'echo.EchoResponse', 'echo.EchoRequest'])
    // Every reference leads somewhere.
    for (const [, name] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      assert.ok(name !== undefined && name in document.components.schemas)
  })
})
