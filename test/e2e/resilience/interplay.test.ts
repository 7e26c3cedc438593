/** What hedging, retries, fallbacks, limits and filters do to each other. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

function config(services: object, routes: object = { all: { to: 'up' } }, more: object = {}): object {
  return {
    workers: 1,
    accessLog: { path: '-', format: '${path} ${status} [${flags}] ${service}' },
    listeners: { web: { address: '127.0.0.1:0' } },
    services,
    routes,
    ...more,
  }
}

async function metric(gateway: SluiceProcess, line: RegExp): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  return Number(line.exec(text)?.[1] ?? 0)
}

describe('a hedged request with a body', () => {
  it('goes out whole on the backup when the first attempt fails while the backup still waits for a connection', async (t) => {
    const first = await startUpstream(
      t,
      (request) => void request.resume().on('end', () => setTimeout(() => request.socket.destroy(), 150)),
    )
    const bodies: string[] = []
    const second = await startRawUpstream(t, (socket) => {
      let text = ''
      socket.on('data', (data) => {
        text += data.toString('latin1')
        if (text.startsWith('GET')) {
          text = ''
          setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbusy'), 700)
        } else if (text.includes('\r\n\r\nbody')) {
          bodies.push(text.slice(text.indexOf('\r\n\r\n') + 4))
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood')
        }
      })
    })
    const services = {
      up: {
        endpoints: [
          { address: first.address, priority: 0 },
          { address: second.address, priority: 1 },
        ],
        balance: 'first',
        ejection: null,
        retry: null,
        hedge: { after: '40ms', budget: '100%' },
        pool: { maxConnections: 1 },
        timeouts: { request: '2s' },
      },
    }
    const gateway = await startSluice(t, config(services))
    // Takes the only connection to the second endpoint, as a backup of its own; the first endpoint fails it in the end.
    const busy = fetch(`${gateway.url}/busy`).then((response) => response.text())
    await sleep(250)
    const put = await fetch(`${gateway.url}/put`, { method: 'PUT', body: 'body' })
    assert.equal(await put.text(), 'good')
    assert.deepEqual(bodies, ['body'])
    assert.equal(await busy, 'busy')
  })
})

describe('a fallback to another service', () => {
  it('leaves no backup request behind that goes to the first service later', async (t) => {
    let seen = 0
    const up = await startUpstream(t, (request) => {
      seen++
      setTimeout(() => request.socket.resetAndDestroy(), 30)
    })
    const other = await startUpstream(t, (_, response) => void setTimeout(() => response.end('other'), 400))
    const services = {
      up: {
        endpoints: [up.address, up.address.replace('127.0.0.1', 'localhost')],
        ejection: null,
        retry: null,
        hedge: { after: '150ms', budget: '100%' },
        fallback: { to: 'other' },
      },
      other: { endpoints: [other.address] },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal(await (await fetch(gateway.url)).text(), 'other')
    assert.equal(seen, 1)
  })

  it('leaves no retry behind that goes to the first service later', async (t) => {
    let seen = 0
    const up = await startUpstream(t, (_, response) => {
      seen++
      response.writeHead(503, { 'retry-after': '1' }).end()
    })
    const other = await startUpstream(t, (request, response) => {
      request.resume()
      setTimeout(() => response.end('other'), 1900)
    })
    const services = {
      up: { endpoints: [up.address], ejection: null, timeouts: { request: '200ms' }, fallback: { to: 'other' } },
      other: { endpoints: [other.address], retry: null },
    }
    const gateway = await startSluice(t, config(services))
    const socket = net.connect(gateway.port(), '127.0.0.1')
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.write('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na')
    await sleep(100)
    // Now the request is complete, and its timeout begins, which is over before the wait is.
    socket.write('b')
    await waitFor('the answer', () => text.endsWith('other'))
    socket.destroy()
    assert.equal(seen, 1)
  })

  it('has the body that a retry was to have', async (t) => {
    const up = await startUpstream(t, (request) => void request.resume().on('end', () => request.socket.resetAndDestroy()))
    const other = await startUpstream(t, async (request, response) => {
      let text = ''
      for await (const piece of request) text += piece
      response.end(`other got ${text}`)
    })
    const breaker = { minRequests: 1, errorRate: '1%', openFor: '30s' }
    const services = {
      up: { endpoints: [up.address], ejection: null, retry: {}, breaker, fallback: { to: 'other' } },
      other: { endpoints: [other.address] },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal(await (await fetch(gateway.url, { method: 'PUT', body: 'body' })).text(), 'other got body')
  })

  it('is a first attempt there, with retries and hedging of its own', async (t) => {
    const failing = await startUpstream(t, (_, response) => response.writeHead(503).end())
    const marks: unknown[] = []
    const other = await startUpstream(t, (request, response) => {
      marks.push(request.headers['x-sluice-attempt'])
      if (marks.length === 1) request.socket.resetAndDestroy()
      else response.end('other')
    })
    const services = {
      up: { endpoints: [failing.address], ejection: null, retry: {}, fallback: { on: [503], to: 'other' } },
      other: { endpoints: [other.address], ejection: null, retry: {} },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal(await (await fetch(gateway.url)).text(), 'other')
    assert.deepEqual(marks, [undefined, '2'])
  })

  it('has the time of that service, not what was left of the first one', async (t) => {
    const stuck = await startUpstream(t, () => undefined)
    const told: unknown[] = []
    const other = await startUpstream(t, (request, response) => {
      told.push(request.headers['x-sluice-timeout'])
      setTimeout(() => response.end('other'), 200)
    })
    const services = {
      up: { endpoints: [stuck.address], ejection: null, retry: null, timeouts: { request: '100ms' }, fallback: { to: 'other' } },
      other: { endpoints: [other.address], timeouts: { request: '3s' } },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal(await (await fetch(gateway.url)).text(), 'other')
    assert.equal(told.length, 1)
    assert.ok(Number(told[0]) > 2000, `${told[0]} ms`)
  })

  it('that cannot have the body any more is not written down as one', async (t) => {
    const up = await startUpstream(t, (request, response) => void request.resume().on('end', () => response.writeHead(500).end('own')))
    const other = await startUpstream(t, (_, response) => response.end('other'))
    const services = {
      up: { endpoints: [up.address], ejection: null, fallback: { on: ['5xx'], to: 'other' } },
      other: { endpoints: [other.address] },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal((await fetch(`${gateway.url}/post`, { method: 'POST', body: 'x' })).status, 500)
    await waitFor('the access log', () => gateway.logs.some((line) => line.startsWith('/post')))
    assert.ok(gateway.logs.includes('/post 500 [-] up'), gateway.logs.at(-1))
  })
})

const index = join(import.meta.dirname, '../../../src/index.ts')

function withFilters(up: string, other: string): string {
  return `
import { defineConfig, type FilterFunction } from ${JSON.stringify(index)}
const hangs: FilterFunction = () => new Promise(() => {})
const slowly: FilterFunction = async (x, next) => {
  await new Promise((resolve) => setTimeout(resolve, 400))
  await next()
}
const looks: FilterFunction = async (x, next) => {
  await next()
  x.response.headers.set('x-seen', String(x.response.status))
  await new Promise((resolve) => setTimeout(resolve, 300))
}
const denies: FilterFunction = (x) => x.respond({ status: 403, body: 'no' })
const fallback = { on: ['overloaded', 'timeout', 'failure', 'rate-limited'], to: 'other' }
export default defineConfig({
  workers: 1,
  accessLog: null,
  admin: { address: '127.0.0.1:0' },
  listeners: { web: { address: '127.0.0.1:0' } },
  services: { up: { endpoints: [${JSON.stringify(up)}], ejection: null, timeouts: { request: '200ms' } }, other: { endpoints: [${JSON.stringify(other)}] } },
  routes: {
    hangs: { match: { prefix: '/hangs' }, to: 'up', filters: [hangs], fallback },
    slowly: { match: { prefix: '/slowly' }, to: 'up', filters: [slowly, denies], fallback },
    limited: { match: { prefix: '/limited' }, to: 'up', filters: [{ 'rate-limit': { rate: '1/m', burst: 1 } }, denies], fallback },
    only: { match: { prefix: '/only' }, to: 'up', filters: [{ 'rate-limit': { rate: '1/m', burst: 1 } }], fallback },
    looks: { match: { prefix: '/looks' }, to: 'up', filters: [looks], fallback },
  },
})
`
}

describe('a limit that finds itself', () => {
  it('falls when its service drowns, also while a fallback answers', async (t) => {
    let isStuck = false
    const up = await startUpstream(t, (_, response) => void (isStuck || setTimeout(() => response.end('up'), 5)))
    const other = await startUpstream(t, (_, response) => response.end('other'))
    const concurrency = { max: 100, queueTimeout: '5s', adaptive: 'gradient' }
    const service = { endpoints: [up.address], retry: null, ejection: null, timeouts: { request: '100ms' } }
    const gateway = await startSluice(
      t,
      config({ up: { ...service, concurrency, fallback: { to: 'other' } }, other: { endpoints: [other.address] } }),
    )
    const limit = () => metric(gateway, /^sluice_concurrency_limit\{.*\} (\d+)$/m)
    const ask = async (times: number, width: number) => {
      for (let i = 0; i < times; i++) await Promise.all(Array.from({ length: width }, async () => (await fetch(gateway.url)).text()))
    }
    await ask(40, 10)
    const before = await limit()
    isStuck = true
    await ask(12, 30)
    const after = await limit()
    assert.ok(after < before / 2, `${before} before, ${after} after`)
  })
})

describe('a WebSocket over HTTP/2 that a service does not agree to', () => {
  it('is asked of the fallback as a WebSocket, and an ordinary answer of that is no consent either', async (t) => {
    const asked: unknown[] = []
    const up = await startUpstream(t, (request, response) => {
      asked.push(request.headers.upgrade)
      response.end('plain')
    })
    const services = {
      up: { endpoints: [up.address], retry: null, fallback: { to: 'other' } },
      other: { endpoints: [up.address], retry: null },
    }
    const gateway = await startSluice(t, config(services))
    const session = http2.connect(gateway.url)
    t.after(() => session.destroy())
    await new Promise((resolve) => session.once('remoteSettings', resolve))
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/',
      ':authority': 'a',
      'sec-websocket-version': '13',
    })
    const status = await new Promise((resolve) => stream.once('response', (headers) => resolve(headers[':status'])))
    assert.equal(status, 502)
    assert.deepEqual(asked, ['websocket', 'websocket'])
  })
})

describe('the retry budget of a service', () => {
  it('counts no request that a concurrency limit has refused', async (t) => {
    // Answered when all the others have been refused.
    const held: ServerResponse[] = []
    const up = await startUpstream(t, (_, response) => void held.push(response))
    const service = { endpoints: [up.address], concurrency: { max: 1, queue: 0 }, retry: {} }
    const gateway = await startSluice(t, config({ up: service }))
    const answers: number[] = []
    const ask = async () => {
      answers.push((await fetch(gateway.url)).status)
      if (answers.length === 7) held[0]?.end('up')
    }
    await Promise.all(Array.from({ length: 8 }, ask))
    assert.equal(answers.filter((status) => status === 200).length, 1, answers.join())
    const { services } = (await (await fetch(`${gateway.adminUrl}/services`)).json()) as {
      services: { retryBudget: { requests: number } }[]
    }
    assert.equal(services[0]?.retryBudget.requests, 0)
  })
})

describe('a fallback to another service, with filters', () => {
  it('is not a way around request filters that have not let the request pass', async (t) => {
    const up = await startUpstream(t, (_, response) => response.end('up'))
    let seen = 0
    const other = await startUpstream(t, (_, response) => {
      seen++
      setTimeout(() => response.end('other'), 600)
    })
    const gateway = await startSluice(t, withFilters(up.address, other.address), { fileName: 'sluice.config.ts' })
    assert.equal((await fetch(`${gateway.url}/hangs`)).status, 504)
    assert.equal((await fetch(`${gateway.url}/slowly`)).status, 504)
    assert.equal((await fetch(`${gateway.url}/limited`)).status, 403)
    assert.equal((await fetch(`${gateway.url}/limited`)).status, 403)
    assert.equal(seen, 0)
    assert.equal(await (await fetch(`${gateway.url}/only`)).text(), 'up')
    assert.equal(await (await fetch(`${gateway.url}/only`)).text(), 'other')
  })

  it('does not mix two responses when the first breaks off while a response filter works on it', async (t) => {
    let isHeadOnly = true
    const up = await startRawUpstream(t, (socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n${isHeadOnly ? '' : 'first'}`)
        setTimeout(() => socket.resetAndDestroy(), 50)
      })
    })
    const other = await startUpstream(t, (_, response) => response.end('other'))
    const gateway = await startSluice(t, withFilters(up.address, other.address), { fileName: 'sluice.config.ts' })
    // With a body that waits for the filter nothing is read, and the end of the connection is not seen before the timeout.
    for (const status of [502, 504]) {
      const response = await fetch(`${gateway.url}/looks`)
      const text = await response.text()
      assert.equal(response.status, status, text)
      assert.doesNotMatch(text, /"first|other/)
      isHeadOnly = false
    }
    assert.equal(await metric(gateway, /^sluice_requests_in_flight\{.*\} (\d+)$/m), 0)
  })
})
