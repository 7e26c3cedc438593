import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { HealthCheckConfig, StatusRange } from '../../config/types.ts'
import { MAX_BODY_BYTES } from './http-answer.ts'
import type { ProbeOutcome, ProbeTarget, RunningProbe } from './probe.ts'
import { failureOf } from './probe-error.ts'
import { startProbe } from './start-probe.ts'
import { createTarget } from './virtual-network.contract.ts'

type HttpCheck = Extract<HealthCheckConfig, { kind: 'http' }>

const ANY: StatusRange[] = [{ from: 200, to: 399 }]

function httpTarget(port: number, check: Partial<HttpCheck> = {}): ProbeTarget {
  const full: HttpCheck = {
    kind: 'http',
    path: '/healthz',
    method: 'GET',
    protocol: null,
    host: null,
    statuses: ANY,
    match: null,
    ...check,
  }
  return createTarget(`127.0.0.1:${port}`, { check: full })
}

/** The outcome of one check; `running` is there for tests that wait for something before. */
function check(target: ProbeTarget): { outcome: Promise<ProbeOutcome>; running: RunningProbe } {
  let running: RunningProbe | undefined
  const outcome = new Promise<ProbeOutcome>((resolve) => {
    running = startProbe(target, resolve)
  })
  assert(running !== undefined)
  return { outcome, running }
}

async function listen<S extends net.Server>(t: TestContext, server: S): Promise<number> {
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as net.AddressInfo).port
}

function serve(t: TestContext, handler: http.RequestListener): Promise<number> {
  return listen(t, http.createServer(handler))
}

/** A server that answers each connection with these bytes and does what `then` says. */
function answerWith(t: TestContext, text: string, then: 'end' | 'stay' | 'reset' = 'end'): Promise<number> {
  return listen(
    t,
    net.createServer((socket) => {
      socket.once('data', () => {
        socket.write(text, () => {
          if (then === 'end') socket.end()
          if (then === 'reset') socket.resetAndDestroy()
        })
      })
    }),
  )
}

/** A port nobody listens on. */
async function closedPort(t: TestContext): Promise<number> {
  const server = net.createServer()
  const port = await listen(t, server)
  server.close()
  await once(server, 'close')
  return port
}

describe('a check by HTTP', () => {
  it('asks for the path with the host, on a connection of its own', async (t) => {
    const seen: http.IncomingMessage[] = []
    const port = await serve(t, (request, response) => {
      seen.push(request)
      response.end('ok')
    })
    const target = { ...httpTarget(port, { path: '/status?full=1' }), hostHeader: 'users.internal' }
    assert.deepEqual(await check(target).outcome, { result: 'pass' })
    assert.deepEqual(await check(httpTarget(port, { method: 'HEAD' })).outcome, { result: 'pass' })
    assert.deepEqual(
      seen.map(({ method, url }) => `${method} ${url}`),
      ['GET /status?full=1', 'HEAD /healthz'],
    )
    assert.deepEqual(seen[0]?.headers, { host: 'users.internal', 'user-agent': 'sluice-health-check', accept: '*/*', connection: 'close' })
    assert.equal(seen[1]?.headers.host, `127.0.0.1:${port}`)
    assert.notEqual(seen[0]?.socket, seen[1]?.socket)
  })

  it('passes with the statuses that are expected, and names them when it gets another', async (t) => {
    const port = await serve(t, (request, response) => {
      response.statusCode = Number(request.url?.slice(1))
      response.end()
    })
    const run = (status: number, statuses = ANY) => check(httpTarget(port, { path: `/${status}`, statuses })).outcome
    for (const status of [200, 204, 302, 399]) assert.deepEqual(await run(status), { result: 'pass' }, `${status}`)
    for (const status of [400, 404, 500, 503]) {
      assert.deepEqual(await run(status), { result: 'fail', error: `status ${status}; expected 200-399` })
    }
    const some = [
      { from: 200, to: 200 },
      { from: 429, to: 430 },
    ]
    assert.deepEqual(await run(429, some), { result: 'pass' })
    assert.deepEqual(await run(204, some), { result: 'fail', error: 'status 204; expected 200, 429-430' })
  })

  it('does not follow a redirect', async (t) => {
    let requests = 0
    const port = await serve(t, (_, response) => {
      requests++
      response.writeHead(302, { Location: '/elsewhere' })
      response.end()
    })
    assert.deepEqual(await check(httpTarget(port)).outcome, { result: 'pass' })
    assert.equal(requests, 1)
  })

  it('looks for text or a pattern in the body, also when it comes in pieces', async (t) => {
    const port = await serve(t, (_, response) => {
      response.write('status: gr')
      setTimeout(() => response.end('ün\n'), 20)
    })
    const match = (wanted: HttpCheck['match']) => check(httpTarget(port, { match: wanted })).outcome
    assert.deepEqual(await match({ test: 'contains', text: 'grün' }), { result: 'pass' })
    assert.deepEqual(await match({ test: 'regex', pattern: '^status: \\w' }), { result: 'pass' })
    assert.deepEqual(await match({ test: 'contains', text: 'rot' }), { result: 'fail', error: 'the body has no "rot"' })
    assert.deepEqual(await match({ test: 'regex', pattern: '^gr' }), { result: 'fail', error: 'the body has no match of ^gr' })
  })

  it('looks at the first 64 KiB of a body that has no end, and then hangs up', async (t) => {
    let closed = 0
    const port = await serve(t, (request, response) => {
      response.on('close', () => closed++)
      response.write(`start ${'x'.repeat(MAX_BODY_BYTES - 6)}`)
      response.write('behind')
      const timer = setInterval(() => response.write('more'), 1)
      request.socket.on('close', () => clearInterval(timer))
    })
    const match = (text: string) => check(httpTarget(port, { match: { test: 'contains', text } })).outcome
    assert.deepEqual(await match('start'), { result: 'pass' })
    assert.deepEqual(await match('behind'), { result: 'fail', error: 'the first 64 KiB of the body have no "behind"' })
    assert.deepEqual(await check(httpTarget(port)).outcome, { result: 'pass' })
    for (let i = 0; i < 100 && closed < 3; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(closed, 3)
  })

  it('does not look behind the first 64 KiB, also when they arrive together with more', async (t) => {
    const body = `${'x'.repeat(MAX_BODY_BYTES)}behind${'x'.repeat(100_000)}`
    const port = await serve(t, (_, response) => response.end(body))
    const match = { test: 'contains' as const, text: 'behind' }
    assert.equal((await check(httpTarget(port, { match })).outcome).result, 'fail')
  })

  it('says in words what went wrong', async (t) => {
    const outcomes: [port: number, error: RegExp][] = [
      [await closedPort(t), /^connection refused$/],
      [await answerWith(t, ''), /^the connection was closed without an answer$/],
      [await answerWith(t, '', 'reset'), /^connection reset$/],
      [await answerWith(t, 'SSH-2.0-OpenSSH_9.2\r\n'), /^the answer is not valid HTTP$/],
      [await answerWith(t, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'), /^the connection was closed inside the response$/],
      [
        await answerWith(t, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'reset'),
        /^(connection reset|the connection was closed inside the response)$/,
      ],
      [await answerWith(t, `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`), /^the head of the answer is too large$/],
      [await answerWith(t, 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'), /^status 101/],
    ]
    for (const [port, error] of outcomes) {
      const outcome = await check(httpTarget(port)).outcome
      assert.equal(outcome.result, 'fail')
      assert.match(outcome.result === 'fail' ? outcome.error : '', error)
    }
  })

  it('says what it waits for, and frees the connection when it is cancelled', async (t) => {
    const sockets: net.Socket[] = []
    const server = net.createServer((socket) => sockets.push(socket))
    const port = await listen(t, server)
    const { running, outcome } = check(httpTarget(port))
    const stage = (): string => running.stage
    assert.equal(stage(), 'connecting')
    await once(server, 'connection')
    await once(sockets[0]!, 'data')
    assert.equal(stage(), 'waiting for the response')
    sockets[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
    for (let i = 0; i < 100 && stage().startsWith('waiting'); i++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(stage(), 'reading the response')
    running.cancel()
    // It is reset, so that a service that hangs does not collect connections.
    await new Promise((resolve) => sockets[0]!.on('error', () => {}).once('close', resolve))
    const late = await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 50, 'nothing'))])
    assert.equal(late, 'nothing')
  })
})

describe('a check by TCP', () => {
  it('passes when the connection opens, and sends nothing', async (t) => {
    let bytes = 0
    const server = net.createServer((socket) => socket.on('data', (data) => (bytes += data.length)))
    const port = await listen(t, server)
    const closed = once(server, 'connection').then(([socket]) => once(socket as net.Socket, 'close'))
    assert.deepEqual(await check(createTarget(`127.0.0.1:${port}`)).outcome, { result: 'pass' })
    await closed
    assert.equal(bytes, 0)
  })

  it('fails when it does not', async (t) => {
    const port = await closedPort(t)
    assert.deepEqual(await check(createTarget(`127.0.0.1:${port}`)).outcome, { result: 'fail', error: 'connection refused' })
  })

  it('reports nothing after it was cancelled', async (t) => {
    const port = await closedPort(t)
    const { running, outcome } = check(createTarget(`127.0.0.1:${port}`))
    running.cancel()
    assert.equal(await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 50, 'nothing'))]), 'nothing')
  })
})

describe('what failed', () => {
  const failure = (code: string, message = `connect ${code}`) => failureOf(Object.assign(new Error(message), { code }))

  it('is not the fault of the endpoint when the gateway has run out of something', () => {
    for (const code of ['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'EAI_AGAIN', 'ENOBUFS', 'ENOMEM']) {
      assert.equal(failure(code).result, 'inconclusive', code)
    }
  })

  it('is told even when it is nothing known', () => {
    assert.deepEqual(failure('ESTRANGE', 'odd'), { result: 'fail', error: 'odd (ESTRANGE)' })
    assert.deepEqual(failureOf(new Error('plain')), { result: 'fail', error: 'plain' })
  })
})
