/** gRPC-Web: what a browser sends over HTTP/1.1 and HTTP/2 reaches a gRPC server, and the other way round. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { after, describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { residentMiB } from '../http1/kit.ts'
import { createClient, echoMessage, echoText, frame, gatewayConfig, grpc, respondWith, startEcho, startHttp2Server, unary } from './kit.ts'

const scope = { after }
const echo = await startEcho(scope, {
  UnaryEcho: (call, callback) => {
    if (echoText(call.request) === 'fail') callback({ code: grpc.status.NOT_FOUND, details: 'kein 小鱼' })
    else if (echoText(call.request) === 'metadata')
      callback(null, echoMessage(JSON.stringify([call.metadata.getMap()['x-grpc-web'], call.metadata.get('timestamp')])))
    else callback(null, call.request)
  },
})
const raw = await startHttp2Server(scope, (stream, headers) => {
  respondWith(stream, { 'grpc-status': '0' })
  stream.write(frame(echoMessage('one')))
  if (headers[':path'] === '/raw.Raw/Cut') setTimeout(() => stream.end(frame(echoMessage('two')).subarray(0, 8)), 50)
})
const gateway = await startSluice(
  scope,
  gatewayConfig(
    [echo.address],
    {},
    {
      services: {
        echo: { endpoints: [echo.address], protocol: 'grpc' },
        raw: { endpoints: [raw.address], protocol: 'grpc', timeouts: { idle: '300ms' } },
        gone: { endpoints: ['127.0.0.1:1'], protocol: 'grpc', retry: null },
      },
      routes: {
        all: { to: 'echo', filters: [{ 'grpc-web': {} }] },
        raw: { match: { prefix: '/raw.Raw' }, to: 'raw', filters: [{ 'grpc-web': {} }] },
        gone: { match: { prefix: '/gone.Gone' }, to: 'gone', filters: [{ 'grpc-web': {} }] },
      },
    },
  ),
)
const port = gateway.port()

interface WebAnswer {
  status: number
  headers: http.IncomingHttpHeaders
  body: Buffer
}

function post(
  path: string,
  type: string,
  pieces: readonly (Buffer | string)[],
  headers: http.OutgoingHttpHeaders = {},
): Promise<WebAnswer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { port, path, method: 'POST', headers: { 'content-type': type, 'x-grpc-web': '1', ...headers } },
      (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }))
      },
    )
    request.on('error', reject)
    const send = (i: number): void => {
      if (i === pieces.length) return void request.end()
      request.write(pieces[i] as Buffer)
      setImmediate(send, i + 1)
    }
    send(0)
  })
}

/** The frames of a body: messages, and the trailers as text. */
function read(body: Buffer): { messages: string[]; trailers: string | null } {
  const messages: string[] = []
  let trailers: string | null = null
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32BE(at + 1)
    const content = body.subarray(at + 5, at + 5 + length)
    assert.equal(trailers, null, 'nothing follows the trailers')
    if (body[at] === 0x80) trailers = content.toString()
    else messages.push(echoText(content))
    at += 5 + length
  }
  return { messages, trailers }
}

/** Base64 whose parts are padded by themselves. */
function decodeText(body: Buffer): Buffer {
  const text = body.toString()
  assert.equal(text.length % 4, 0)
  return Buffer.concat((text.match(/.{4}/gs) ?? []).map((quantum) => Buffer.from(quantum, 'base64')))
}

const UNARY = '/echo.Echo/UnaryEcho'
const STREAM = '/echo.Echo/ServerStreamingEcho'

describe('a service that stops inside a message', () => {
  it('has the response broken off, in both forms: trailers would be read as the rest of the message', async () => {
    for (const type of ['application/grpc-web', 'application/grpc-web-text']) {
      const message = frame(echoMessage('go'))
      const body = type.endsWith('text') ? message.toString('base64') : message
      const response = await fetch(`${gateway.url}/raw.Raw/Cut`, { method: 'POST', headers: { 'content-type': type }, body })
      assert.equal(response.status, 200)
      await assert.rejects(response.arrayBuffer())
    }
  })
})

describe('gRPC-Web in binary', () => {
  it('carries a call, with the trailers as the last frame', async () => {
    const { status, headers, body } = await post(UNARY, 'application/grpc-web+proto', [frame(echoMessage('hello'))])
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/grpc-web+proto')
    assert.equal(headers['content-length'], undefined)
    assert.equal(headers.trailer, undefined)
    const { messages, trailers } = read(body)
    assert.deepEqual(messages, ['hello'])
    assert.match(trailers as string, /^(?:.*\r\n)*grpc-status:0\r\n/)
  })
  it('carries a stream of responses', async () => {
    const { body } = await post(STREAM, 'application/grpc-web', [frame(echoMessage('again'))], { count: '200' })
    assert.deepEqual(read(body).messages, Array(200).fill('again'))
  })
  it('tells the service what it is told, but not that it is a browser', async () => {
    const { body } = await post(UNARY, 'application/grpc-web', [frame(echoMessage('metadata'))], { timestamp: 'now' })
    assert.deepEqual(JSON.parse(read(body).messages[0] as string), [null, ['now']])
  })
  it('carries an error of the service', async () => {
    const { status, headers, body } = await post(UNARY, 'application/grpc-web', [frame(echoMessage('fail'))])
    assert.equal(status, 200)
    assert.match(headers['content-type'] as string, /^application\/grpc-web/)
    assert.match(
      headers['grpc-status'] === undefined ? (read(body).trailers as string) : `grpc-status:${headers['grpc-status']}\r\n`,
      /grpc-status:5\r\n/,
    )
  })
  it('tells an error of the gateway', async () => {
    const { status, headers, body } = await post('/gone.Gone/Method', 'application/grpc-web', [frame(echoMessage('x'))])
    assert.deepEqual([status, headers['content-type'], headers['grpc-status'], body.length], [200, 'application/grpc-web+proto', '14', 0])
  })
  it('ends a call that the service breaks off with a status', async () => {
    const { body } = await post('/raw.Raw/Method', 'application/grpc-web', [frame(echoMessage('x'))])
    const { messages, trailers } = read(body)
    assert.deepEqual(messages, ['one'])
    assert.match(trailers as string, /grpc-status:14\r\n/)
  })
})

describe('gRPC-Web in text', () => {
  const text = Buffer.from(frame(echoMessage('hello')).toString('base64'))

  it('carries a call, wherever its base64 is cut', async () => {
    for (let cut = 0; cut <= text.length; cut++) {
      const { headers, body } = await post(UNARY, 'application/grpc-web-text+proto', [text.subarray(0, cut), text.subarray(cut)])
      assert.equal(headers['content-type'], 'application/grpc-web-text+proto')
      const { messages, trailers } = read(decodeText(body))
      assert.deepEqual(messages, ['hello'], String(cut))
      assert.match(trailers as string, /grpc-status:0\r\n/)
    }
  })
  it('carries a stream of responses', async () => {
    const { body } = await post(STREAM, 'application/grpc-web-text', [text], { count: '100' })
    assert.deepEqual(read(decodeText(body)).messages, Array(100).fill('hello'))
  })
  it('is the form of the answer when that is what is accepted', async () => {
    const { headers, body } = await post(UNARY, 'application/grpc-web', [frame(echoMessage('hello'))], {
      accept: 'application/grpc-web-text',
    })
    assert.match(headers['content-type'] as string, /^application\/grpc-web-text/)
    assert.deepEqual(read(decodeText(body)).messages, ['hello'])
  })
  it('is refused when it is not base64, or cut off', async () => {
    for (const bad of ['AAAA*AAA', 'AAAAA']) {
      const { status, headers } = await post(UNARY, 'application/grpc-web-text', [bad])
      assert.equal(status, 200)
      assert.match(headers['content-type'] as string, /^application\/grpc-web-text/)
      assert.notEqual(headers['grpc-status'] ?? '0', '0', bad)
    }
  })
})

async function assertGrownBelow(mostMiB: number, before: number, pid: number): Promise<void> {
  const now = await residentMiB(pid)
  assert.ok(now - before < mostMiB, `${before} MiB became ${now}`)
}

describe('much of it', () => {
  const CHUNK = frame(Buffer.alloc(64 * 1024, 'x'))
  const COUNT = 1600

  it('goes through without being gathered, however slowly it is read', { timeout: 120_000 }, async (t) => {
    const source = await startHttp2Server(t, (stream) => {
      respondWith(stream, { 'grpc-status': '0' })
      let sent = 0
      const send = (): void => {
        while (sent++ < COUNT) if (!stream.write(CHUNK)) return void stream.once('drain', send)
        stream.end()
      }
      send()
    })
    const slow = await startSluice(
      t,
      gatewayConfig([source.address], {}, { routes: { all: { to: 'echo', filters: [{ 'grpc-web': {} }] } } }),
    )
    const before = await residentMiB(slow.pid)
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http
        .request({ port: slow.port(), path: '/a.B/C', method: 'POST', headers: { 'content-type': 'application/grpc-web-text' } }, resolve)
        .on('error', reject)
        .end(frame(echoMessage('go')).toString('base64'))
    })
    // Nobody reads for a while.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await assertGrownBelow(60, before, slow.pid)
    let length = 0
    for await (const part of response) length += (part as Buffer).length
    assert.ok(length > (COUNT * CHUNK.length * 4) / 3, String(length))
    await assertGrownBelow(100, before, slow.pid)
  })
  it('goes the other way, with the service setting the pace', { timeout: 120_000 }, async (t) => {
    let received = 0
    const sink = await startHttp2Server(t, (stream) => {
      stream.pause()
      stream.on('data', (part: Buffer) => (received += part.length))
      setTimeout(() => stream.resume(), 1500)
      stream.on('end', () => {
        respondWith(stream, { 'grpc-status': '0' })
        stream.end(frame(echoMessage(String(received))))
      })
    })
    const slow = await startSluice(
      t,
      gatewayConfig([sink.address], {}, { routes: { all: { to: 'echo', limits: { body: '1GiB' }, filters: [{ 'grpc-web': {} }] } } }),
    )
    const before = await residentMiB(slow.pid)
    const text = Buffer.from(Buffer.concat([CHUNK, CHUNK, CHUNK]).toString('base64'))
    const request = http.request({
      port: slow.port(),
      path: '/a.B/C',
      method: 'POST',
      headers: { 'content-type': 'application/grpc-web-text' },
    })
    const answered = new Promise<http.IncomingMessage>((resolve, reject) => request.on('response', resolve).on('error', reject))
    const sending = (async () => {
      for (let i = 0; i < 400; i++) if (!request.write(text)) await new Promise((resolve) => request.once('drain', resolve))
      request.end()
    })()
    await new Promise((resolve) => setTimeout(resolve, 1200))
    await assertGrownBelow(60, before, slow.pid)
    await sending
    const parts: Buffer[] = []
    for await (const part of await answered) parts.push(part as Buffer)
    assert.deepEqual(read(decodeText(Buffer.concat(parts))).messages, [String(1200 * CHUNK.length)])
  })
})

describe('other requests on such a route', () => {
  it('pass as they are', async () => {
    const { code, message } = await unary(createClient(scope, port), echoMessage('plain'))
    assert.deepEqual([code, echoText(message as Buffer)], [0, 'plain'])
  })
})
