import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { describe, it } from 'node:test'
import { rawRequest } from '../../support/raw.ts'
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
  startEcho,
  startHttp2Server,
  unary,
} from './kit.ts'

const MESSAGE = echoMessage('hello')

describe('what the gateway itself answers to a call', () => {
  it('is a gRPC status with a text', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(
      t,
      gatewayConfig(
        [echo.address],
        {},
        {
          services: {
            echo: { endpoints: [echo.address], protocol: 'grpc' },
            gone: { endpoints: ['127.0.0.1:1'], protocol: 'grpc', retry: null },
          },
          routes: {
            echo: { match: { grpc: 'echo.Echo' }, to: 'echo', limits: { body: 100 } },
            gone: { match: { grpc: 'gone.Gone' }, to: 'gone' },
            forbidden: { match: { grpc: { service: 'a.B', method: 'Forbidden' } }, respond: { status: 403, body: 'not for 小鱼' } },
            login: { match: { grpc: { service: 'a.B', method: 'Login' } }, redirect: 'https://login.example.com/' },
            limited: {
              match: { grpc: 'a.Limited' },
              filters: [{ 'rate-limit': { rate: '1/h', burst: 1 } }],
              to: 'echo',
            },
          },
        },
      ),
    )
    const client = createClient(t, gateway.port())
    const ask = async (path: string, message = MESSAGE): Promise<Outcome> => unary(client, message, { path })
    const seen: Record<string, string> = {}
    const note = ({ code, details }: Outcome) => `${grpc.status[code]}: ${details}`
    seen['no route'] = note(await ask('/no.Such/Method'))
    seen['no connection'] = note(await ask('/gone.Gone/Method'))
    seen['a response'] = note(await ask('/a.B/Forbidden'))
    seen['a redirect'] = note(await ask('/a.B/Login'))
    seen['too large'] = note(await ask('/echo.Echo/UnaryEcho', Buffer.alloc(200)))
    await ask('/a.Limited/Method')
    const limited = await ask('/a.Limited/Method')
    seen['a rate limit'] = note(limited)
    assert.deepEqual(seen, {
      'no route': 'UNIMPLEMENTED: no route matches this request',
      'no connection': 'UNAVAILABLE: service gone: The connection to the endpoint was refused or failed.',
      'a response': 'PERMISSION_DENIED: not for 小鱼',
      'a redirect': 'UNKNOWN: the gateway answers with HTTP status 302',
      'too large': 'RESOURCE_EXHAUSTED: a request body may have 100 bytes here',
      'a rate limit': seen['a rate limit'],
    })
    assert.match(seen['a rate limit'] as string, /^RESOURCE_EXHAUSTED: /)
    assert.ok(Number(limited.trailers?.get('retry-after')[0] ?? limited.head?.get('retry-after')[0]) > 0, 'with Retry-After')
    const calls = await metricOf(gateway.adminUrl, 'sluice_grpc_calls_total')
    assert.equal(calls['grpc_status="RESOURCE_EXHAUSTED",route="limited"'], 1)
    assert.equal(calls['grpc_status="UNIMPLEMENTED",route="-"'], 1)
  })

  it('is trailers only: one head that ends the stream, or over HTTP/1.1 a response without a body', async (t) => {
    const gateway = await startSluice(t, gatewayConfig(['127.0.0.1:1'], {}, { routes: { none: { match: { path: '/none' }, to: 'echo' } } }))
    const session = http2.connect(gateway.url)
    t.after(() => session.destroy())
    const stream = session.request({ ':method': 'POST', ':path': '/a.B/C', 'content-type': 'application/grpc+proto', te: 'trailers' })
    stream.end()
    const [head, flags] = await new Promise<[http2.IncomingHttpHeaders & { ':status'?: number }, number]>((resolve) =>
      stream.once('response', (...all) => resolve(all as never)),
    )
    assert.deepEqual([head[':status'], head['content-type'], head['grpc-status']], [200, 'application/grpc', '12'])
    assert.ok((flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0, 'the head is the end')

    const { text } = await rawRequest(
      gateway.port(),
      'POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    )
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/)
    assert.match(text, /\r\ncontent-type: application\/grpc\r\ngrpc-status: 12\r\n/)
    assert.match(text, /\r\nContent-Length: 0\r\n/)
    const { text: other } = await rawRequest(
      gateway.port(),
      'POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    )
    assert.match(other, /^HTTP\/1\.1 404 /, 'what is not gRPC is told in HTTP')
  })
})

describe('a call over HTTP/1.1', () => {
  it('is refused when its client could not see the status, and reaches no service', async (t) => {
    let calls = 0
    const server = await startHttp2Server(t, (stream) => {
      calls++
      respondWith(stream, { 'grpc-status': '0' })
      stream.end(frame(MESSAGE))
    })
    const gateway = await startSluice(t, gatewayConfig([server.address]))
    const ask = async (field: string): Promise<string> => {
      const head = `POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n${field}Content-Length: 12\r\nConnection: close\r\n\r\n`
      return (await rawRequest(gateway.port(), head + frame(MESSAGE).toString('latin1'))).text
    }
    assert.match(await ask(''), /\r\ngrpc-status: 13\r\ngrpc-message: [^\r]*TE: trailers over HTTP\/1\.1\r\n/)
    assert.equal(calls, 0)
    assert.match(await ask('TE: trailers\r\n'), /\r\n0\r\ngrpc-status: 0\r\n\r\n$/)
    assert.equal(calls, 1)
  })
})

describe('a response that is not gRPC', () => {
  it('is translated, with its Retry-After', async (t) => {
    const statuses = [200, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504]
    let next = 0
    const server = await startHttp2Server(t, (stream) => {
      stream.respond({ ':status': statuses[next++] as number, 'content-type': 'text/html', 'retry-after': '7' })
      stream.end('<h1>in between</h1>')
    })
    const client = createClient(t, (await startSluice(t, gatewayConfig([server.address], { retry: null }))).port())
    const seen: string[] = []
    for (const status of statuses) {
      const outcome = await unary(client, MESSAGE)
      seen.push(`${status} ${grpc.status[outcome.code]}`)
      assert.match(outcome.details, new RegExp(`^service echo answered with HTTP status ${status} and not with gRPC$`))
      assert.deepEqual(outcome.trailers?.get('retry-after') ?? outcome.head?.get('retry-after'), ['7'])
    }
    assert.deepEqual(seen, [
      '200 UNKNOWN',
      '400 INTERNAL',
      '401 UNAUTHENTICATED',
      '403 PERMISSION_DENIED',
      '404 UNIMPLEMENTED',
      '418 UNKNOWN',
      '429 UNAVAILABLE',
      '500 UNKNOWN',
      '502 UNAVAILABLE',
      '503 UNAVAILABLE',
      '504 UNAVAILABLE',
    ])
  })
})

describe('a call that is cut', () => {
  const cut = async (t: Parameters<typeof startEcho>[0], sent: Buffer) => {
    const server = await startHttp2Server(t, (stream) => {
      respondWith(stream, null)
      stream.write(sent)
      setTimeout(() => stream.session?.destroy(), 50)
    })
    const client = createClient(t, (await startSluice(t, gatewayConfig([server.address]))).port())
    return collectMessages(SERVER_STREAM(client, MESSAGE))
  }

  it('between two messages ends as UNAVAILABLE', async (t) => {
    const { messages, code, details } = await cut(t, frame(MESSAGE))
    assert.equal(messages.length, 1)
    assert.equal(grpc.status[code], 'UNAVAILABLE')
    assert.match(details, /broke off/)
  })

  it('inside a message is broken off', async (t) => {
    const { messages, code } = await cut(t, Buffer.concat([frame(MESSAGE), frame(MESSAGE).subarray(0, 7)]))
    assert.equal(messages.length, 1)
    assert.equal(grpc.status[code], 'INTERNAL')
  })

  it('without a status is UNKNOWN', async (t) => {
    const server = await startHttp2Server(t, (stream) => {
      respondWith(stream, null)
      stream.end(frame(MESSAGE))
    })
    const client = createClient(t, (await startSluice(t, gatewayConfig([server.address]))).port())
    const { code, details } = await unary(client, MESSAGE)
    assert.equal(grpc.status[code], 'UNKNOWN')
    assert.match(details, /without a status/)
  })
})

describe('the breaker', () => {
  const statusOf = (breaker: object, status: grpc.status, times: number) => async (t: Parameters<typeof startEcho>[0]) => {
    const echo = await startEcho(t, { UnaryEcho: (_, callback) => callback({ code: status, details: 'as told' }) })
    const client = createClient(t, (await startSluice(t, gatewayConfig([echo.address], { retry: null, breaker }))).port())
    for (let i = 0; i < times; i++) await unary(client, MESSAGE)
    return unary(client, MESSAGE)
  }
  const breaker = { minRequests: 5 }

  it('counts statuses that say that the service is not well', async (t) => {
    const { code, details } = await statusOf(breaker, grpc.status.INTERNAL, 6)(t)
    assert.equal(grpc.status[code], 'UNAVAILABLE')
    assert.match(details, /left alone/)
  })

  it('does not count answers to what the caller has done', async (t) => {
    const { code, details } = await statusOf(breaker, grpc.status.INVALID_ARGUMENT, 20)(t)
    assert.equal(`${grpc.status[code]} ${details}`, 'INVALID_ARGUMENT as told')
  })
})

describe('the access log', () => {
  it('names the status of a call', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, gatewayConfig([echo.address], {}, { accessLog: { path: '-', format: 'json' } }))
    const client = createClient(t, gateway.port())
    await unary(client, MESSAGE)
    await unary(client, MESSAGE, { path: '/echo.Echo/Unheard' })
    await fetch(gateway.url).catch(() => null)
    await gateway.stop()
    const lines = gateway.logs.filter((line) => line.startsWith('{"time":')).map((line) => JSON.parse(line) as Record<string, unknown>)
    const entries = lines
      .filter(({ path }) => typeof path === 'string')
      .map(({ path, status, grpcStatus }) => `${path} ${status} ${grpcStatus}`)
    assert.deepEqual(entries.slice(0, 2), ['/echo.Echo/UnaryEcho 200 OK', '/echo.Echo/Unheard 200 UNIMPLEMENTED'])
    assert.match(entries[2] as string, /undefined$/)
  })
})
