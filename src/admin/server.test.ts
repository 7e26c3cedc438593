import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { silentLog } from '../observe/log.ts'
import { type AdminServer, createAdminServer } from './server.ts'
import type { AdminSource } from './source.ts'

const servers: AdminServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

const SOURCE: AdminSource = {
  readiness: () => ({ state: 'ready' }),
  metricsText: () => '# HELP a A.\n# TYPE a gauge\na 1\n',
  config: () => ({ admin: { token: 'hunter2' }, workers: 2 }),
  version: () => ({ version: '1.2.3', node: '24.0.0' }),
  reload: async () => ({ ok: true, generation: 2, changed: true }),
  workers: () => [{ id: 0, state: 'listening', restarts: 0, generation: 1 }],
  services: () => [],
}

async function start(source: Partial<AdminSource> = {}, token: string | null = null, log = silentLog) {
  const server = createAdminServer({
    config: { address: { host: '127.0.0.1', port: 0 }, token, tls: null },
    texts: {},
    source: { ...SOURCE, ...source },
    log,
  })
  servers.push(server)
  return { server, port: (await server.listen()).port }
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

function call(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { Host: `127.0.0.1:${port}`, ...options.headers }
    const outgoing = request({ host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        body += piece
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    outgoing.on('error', reject)
    outgoing.end(options.body)
  })
}

describe('admin resources', () => {
  it('answer with what the gateway says', async () => {
    const { port } = await start()
    assert.equal((await call(port, '/healthz')).body, 'ok\n')
    assert.equal((await call(port, '/readyz')).body, 'ready\n')
    const metrics = await call(port, '/metrics')
    assert.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    assert.equal(metrics.body, SOURCE.metricsText())
    assert.deepEqual(JSON.parse((await call(port, '/version?x=1')).body), { version: '1.2.3', node: '24.0.0' })
    assert.deepEqual(JSON.parse((await call(port, '/workers')).body), { workers: SOURCE.workers() })
    assert.deepEqual(JSON.parse((await call(port, '/services')).body), { services: [] })
  })

  it('are listed on the index page', async () => {
    const { port } = await start()
    const { body, headers } = await call(port, '/')
    for (const path of ['/healthz', '/readyz', '/metrics', '/version', '/config', '/reload', '/workers', '/services'])
      assert.ok(body.includes(` ${path} `), path)
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8')
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['cache-control'], 'no-store')
  })

  it('show the configuration without secrets', async () => {
    const { port } = await start()
    const { body } = await call(port, '/config')
    assert.deepEqual(JSON.parse(body), { admin: { token: '[redacted]' }, workers: 2 })
    assert.doesNotMatch(body, /hunter2/)
  })

  it('say 503 and why while traffic should not come', async () => {
    for (const state of ['starting', 'draining', 'no_worker'] as const) {
      const { port } = await start({ readiness: () => ({ state, detail: `It is ${state}.` }) })
      const answer = await call(port, '/readyz')
      assert.equal(answer.status, 503)
      assert.equal(answer.headers['content-type'], 'application/problem+json')
      const problem = JSON.parse(answer.body) as Record<string, unknown>
      assert.deepEqual([problem['code'], problem['detail'], problem['status']], [state, `It is ${state}.`, 503])
      assert.equal((await call(port, '/healthz')).status, 200)
    }
  })

  it('reload on POST, with the problems and 422 when the configuration is bad', async () => {
    let good = true
    const problem = { file: 's.yaml', line: 3, column: 1, path: 'workrs', message: 'unknown key', sourceLine: 'workrs: 2' }
    const secret = { ...problem, sourceLine: 'admin: { "token": hunter2, x: 1 }' }
    const problems = [problem, secret]
    const { port } = await start({ reload: async () => (good ? { ok: true, generation: 7, changed: true } : { ok: false, problems }) })
    const applied = await call(port, '/reload', { method: 'POST' })
    assert.equal(applied.status, 200)
    assert.deepEqual(JSON.parse(applied.body), { ok: true, generation: 7, changed: true })
    good = false
    const rejected = await call(port, '/reload', { method: 'POST', body: 'ignored' })
    assert.equal(rejected.status, 422)
    const answer = JSON.parse(rejected.body) as Record<string, unknown>
    assert.equal(answer['code'], 'invalid_config')
    assert.deepEqual(answer['problems'], [problem, { ...secret, sourceLine: '[redacted]' }])
  })

  it('answer 500 without details when the gateway throws, and log it', async () => {
    const logged: unknown[] = []
    const log = { ...silentLog, error: (message: string, fields?: unknown) => void logged.push(message, fields) }
    const metricsText = (): string => {
      throw new Error('secret detail')
    }
    const { port } = await start({ metricsText }, null, log)
    const answer = await call(port, '/metrics')
    assert.equal(answer.status, 500)
    assert.doesNotMatch(answer.body, /secret detail/)
    assert.equal(logged.length, 2)
  })
})

describe('admin methods', () => {
  it('answer HEAD like GET without a body', async () => {
    const { port } = await start()
    const head = await call(port, '/metrics', { method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.body, '')
    assert.equal(head.headers['content-length'], String(Buffer.byteLength(await SOURCE.metricsText())))
  })

  it('answer 405 with Allow to others, and 404 to unknown paths', async () => {
    const { port } = await start()
    const wrong = await call(port, '/metrics', { method: 'DELETE' })
    assert.deepEqual([wrong.status, wrong.headers['allow']], [405, 'GET, HEAD'])
    let reloads = 0
    const other = await start({ reload: async () => ({ ok: true, generation: ++reloads, changed: false }) })
    for (const method of ['GET', 'HEAD', 'PUT']) {
      const answer = await call(other.port, '/reload', { method })
      assert.deepEqual([answer.status, answer.headers['allow']], [405, 'POST'])
    }
    assert.equal(reloads, 0)
    for (const path of ['/nothing', '/healthz/', '/metrics/../config', '//']) assert.equal((await call(port, path)).status, 404, path)
  })
})

describe('admin access', () => {
  it('without a token is only for requests that name a loopback host', async () => {
    const { port } = await start()
    for (const Host of [
      'localhost',
      `LOCALHOST:${port}`,
      'sluice.localhost',
      '127.0.0.1',
      '127.9.9.9:1',
      '[::1]:9900',
      '[::ffff:127.0.0.1]',
      'localhost.',
    ]) {
      assert.equal((await call(port, '/config', { headers: { Host } })).status, 200, Host)
    }
    for (const Host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '10.0.0.1',
      '[::2]',
      '127.1.evil',
      'localhost@evil.example',
      'a b',
    ]) {
      const answer = await call(port, '/healthz', { headers: { Host } })
      assert.equal(answer.status, 421, Host)
    }
    const old = connect(port, '127.0.0.1')
    old.end('GET /config HTTP/1.0\r\n\r\n')
    const [head] = (await once(old, 'data')) as [Buffer]
    assert.match(String(head), /^HTTP\/1\.1 421 /)
    old.destroy()
  })

  it('with a token needs it for everything but the health checks', async () => {
    const { port } = await start({}, 'right-token')
    for (const path of ['/', '/metrics', '/config', '/version', '/workers', '/nothing']) {
      const answer = await call(port, path)
      assert.equal(answer.status, 401, path)
      assert.match(String(answer.headers['www-authenticate']), /^Bearer/)
    }
    for (const Authorization of [
      'Bearer wrong-token',
      'Bearer right-toke',
      'Bearer right-token2',
      'Bearer ',
      'Basic right-token',
      'right-token',
    ]) {
      assert.equal((await call(port, '/config', { headers: { Authorization } })).status, 401, Authorization)
    }
    const Authorization = 'Bearer right-token'
    assert.equal((await call(port, '/config', { headers: { Authorization, Host: 'gateway.example' } })).status, 200)
    assert.equal((await call(port, '/reload', { method: 'POST', headers: { Authorization } })).status, 200)
    assert.equal((await call(port, '/reload', { method: 'POST' })).status, 401)
    assert.equal((await call(port, '/healthz', { headers: { Host: 'probe.example' } })).status, 200)
    assert.equal((await call(port, '/readyz')).status, 200)
  })

  it('does not let a page of another origin cause a change', async () => {
    let reloads = 0
    const { port } = await start({ reload: async () => ({ ok: true, generation: ++reloads, changed: false }) })
    for (const Origin of ['http://evil.example', 'null', `http://127.0.0.1:${port + 1}`]) {
      assert.equal((await call(port, '/reload', { method: 'POST', headers: { Origin } })).status, 403, Origin)
    }
    assert.equal(reloads, 0)
    assert.equal((await call(port, '/reload', { method: 'POST', headers: { Origin: `http://127.0.0.1:${port}` } })).status, 200)
  })

  it('is refused at construction for an open address without a token', () => {
    for (const host of ['', '0.0.0.0', '::', '10.0.0.1']) {
      assert.throws(
        () =>
          createAdminServer({ config: { address: { host, port: 0 }, token: null, tls: null }, texts: {}, source: SOURCE, log: silentLog }),
        /needs a token/,
      )
    }
  })
})

describe('admin listener', () => {
  it('says clearly when the port is in use', async () => {
    const { port } = await start()
    const second = createAdminServer({
      config: { address: { host: '127.0.0.1', port }, token: null, tls: null },
      texts: {},
      source: SOURCE,
      log: silentLog,
    })
    await assert.rejects(second.listen(), {
      message: `admin: cannot listen on 127.0.0.1:${port}: the address is already in use (EADDRINUSE)`,
    })
  })

  it('lets a running request finish when it closes, and frees the port at once', async () => {
    let finish = (): void => {}
    let begun = (): void => {}
    const reached = new Promise<void>((resolve) => {
      begun = resolve
    })
    const { server, port } = await start({
      reload: () =>
        new Promise((resolve) => {
          finish = () => resolve({ ok: true, generation: 2, changed: true })
          begun()
        }),
    })
    const idle = connect(port, '127.0.0.1')
    await once(idle, 'connect')
    const pending = call(port, '/reload', { method: 'POST', headers: { Connection: 'keep-alive' } })
    await reached
    const closed = server.close()
    const next = createAdminServer({
      config: { address: { host: '127.0.0.1', port }, token: null, tls: null },
      texts: {},
      source: SOURCE,
      log: silentLog,
    })
    servers.push(next)
    assert.equal((await next.listen()).port, port)
    finish()
    assert.equal((await pending).status, 200)
    await closed
    idle.destroy()
  })

  it('does not keep a connection that has sent a body or too large a head', async () => {
    const { port } = await start()
    const answer = await call(port, '/reload', { method: 'POST', body: 'x', headers: { Connection: 'keep-alive' } })
    assert.equal(answer.headers['connection'], 'close')
    const large = await call(port, '/', { headers: { 'X-Large': 'x'.repeat(20_000) } })
    assert.equal(large.status, 431)
  })

  it('closing twice, or before listening, does no harm', async () => {
    const server = createAdminServer({
      config: { address: { host: '127.0.0.1', port: 0 }, token: null, tls: null },
      texts: {},
      source: SOURCE,
      log: silentLog,
    })
    await server.close()
    await server.close()
  })
})
