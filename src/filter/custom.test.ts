import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FilterContext, FilterFunction } from '../config/filter-api.ts'
import { defects, drive, GET, late, POST, watchRejections } from './custom.contract.ts'
import { createCustomFilter } from './custom.ts'
import { settle } from './exchange.contract.ts'

watchRejections()

describe('a custom filter', () => {
  it('that is synchronous passes on without a pause', () => {
    const driver = drive((x, next) => {
      x.request.headers.set('x-b', '2')
      x.request.headers.remove('x-a')
      return next()
    }).start()
    assert.equal(driver.isSent, true)
    assert.deepEqual(
      [...driver.x.request.headers.toPairs()].filter(([name]) => name.startsWith('x-')),
      [['x-b', '2']],
    )
    driver.upstream.respond('200 OK\nServer: a', 'hi')
    assert.equal(driver.client.status, 200)
    assert.equal(driver.client.body, 'hi')
    assert.equal(driver.client.finished, 1)
    assert.equal(driver.x.isRetained, true)
    assert.deepEqual(driver.defects, [])
  })

  it('that is asynchronous works on the request, then on the response', async () => {
    const seen: unknown[] = []
    const driver = drive(async (x, next) => {
      await Promise.resolve()
      x.request.path = '/v2/café'
      x.request.searchParams.set('b', '2 3')
      await next()
      seen.push(x.response.status, x.response.headers.get('server'))
      x.response.status = 203
      x.response.headers.set('x-new', 'yes')
      x.response.headers.remove('server')
    }).start()
    assert.equal(driver.isSent, false)
    await settle()
    assert.equal(driver.upstream.head, 'GET /v2/caf%C3%A9?a=1&b=2+3 host=api.example.com:8080 body=-1')
    driver.upstream.respond('200 Fine\nServer: a\nContent-Length: 2', 'hi')
    assert.equal(driver.client.heads, 0)
    await settle()
    assert.deepEqual(seen, [200, 'a'])
    assert.equal(driver.client.status, 203)
    assert.equal(driver.client.header('x-new'), 'yes')
    assert.equal(driver.client.header('server'), undefined)
    assert.equal(driver.client.body, 'hi')
    assert.equal(driver.client.ended, true)
  })

  it('nests around those behind it', async () => {
    const order: string[] = []
    const layer =
      (name: string): FilterFunction =>
      async (x, next) => {
        order.push(`${name} in`)
        x.state.set('trail', `${x.state.get('trail') ?? ''}${name}`)
        await next()
        order.push(`${name} out`)
      }
    const driver = drive([layer('a'), layer('b')]).start()
    driver.upstream.respond('200 OK\nContent-Length: 0')
    await settle()
    assert.deepEqual(order, ['a in', 'b in', 'b out', 'a out'])
    assert.equal(driver.x.state?.get('trail'), 'ab')
    assert.equal(driver.client.status, 200)
  })

  it('knows the route, its parameters, the client and the request id', () => {
    const seen: unknown[] = []
    drive(
      (x, next) => {
        const { request } = x
        seen.push(x.route, x.params, request.clientIp, request.id, request.method, request.path, request.query, request.host)
        seen.push(request.headers.get('Host'), request.headers.getAll('x-a'), request.headers.has('x-c'), [...request.headers][1])
        return next()
      },
      GET,
      { params: { id: '7' } },
    ).start()
    assert.deepEqual(seen, [
      'users',
      { id: '7' },
      '192.0.2.7',
      'id-1',
      'GET',
      '/users/7',
      'a=1',
      'api.example.com',
      'api.example.com:8080',
      ['1'],
      false,
      ['X-A', '1'],
    ])
  })

  it('answers by itself, and the service sees nothing', async () => {
    const order: string[] = []
    const outer: FilterFunction = async (x, next) => {
      await next()
      order.push(`outer saw ${x.response.status} ${await x.response.text()}`)
      x.response.headers.set('x-outer', '1')
    }
    const driver = drive([outer, (x) => x.respond({ status: 401, headers: { 'WWW-Authenticate': 'Basic' }, body: { no: true } })]).start()
    await settle()
    assert.equal(driver.isSent, false)
    assert.deepEqual(order, ['outer saw 401 {"no":true}'])
    assert.equal(driver.client.status, 401)
    assert.equal(driver.client.header('www-authenticate'), 'Basic')
    assert.equal(driver.client.header('content-type'), 'application/json')
    assert.equal(driver.client.header('x-outer'), '1')
    assert.equal(driver.client.contentLength, 11)
  })

  it('answers after waiting for something', async () => {
    const driver = drive(async (x) => {
      await Promise.resolve()
      x.respond(200, 'hello')
      await Promise.resolve()
    }).start()
    await settle()
    assert.equal(driver.client.body, 'hello')
    assert.equal(driver.client.header('content-type'), 'text/plain; charset=utf-8')
    assert.equal(driver.isSent, false)
  })

  it('replaces the response of the service', async () => {
    const driver = drive(async (x, next) => {
      await next()
      if (x.response.status === 404) x.respond(200, 'instead')
    }).start()
    driver.upstream.respondHead('404 Not Found\nContent-Length: 100')
    driver.upstream.respondBody('part')
    await settle()
    assert.equal(driver.client.status, 200)
    assert.equal(driver.client.body, 'instead')
    assert.equal(driver.upstream.cancelled, true)
  })

  it('sees the errors of the gateway as responses', async () => {
    const driver = drive(async (x, next) => {
      await next()
      x.response.headers.set('x-saw', x.response.status)
    }).start()
    driver.upstream.fail('upstream_reset')
    await settle()
    assert.equal(driver.client.status, 502)
    assert.equal(driver.client.header('x-saw'), '502')
  })

  it('may return before the response is there', async () => {
    const driver = drive((_x, next) => {
      void next()
    }).start()
    assert.equal(driver.isSent, true)
    await settle()
    driver.upstream.respond('200 OK\nContent-Length: 0')
    assert.equal(driver.client.status, 200)
  })

  it('cannot break what is sent', () => {
    const driver = drive((x, next) => {
      const { headers } = x.request
      assert.throws(() => headers.set('a b', '1'), TypeError)
      assert.throws(() => headers.set('a', '1\r\nb: 2'), /value of header a has characters that cannot be sent/)
      assert.throws(() => headers.add('Content-Length', '3'), /written by Sluice itself/)
      assert.throws(() => headers.set('a', null as unknown as string), /must be text, not null/)
      assert.throws(() => headers.set('host', 'a b'), /is not a host/)
      assert.throws(() => headers.remove('host'), /has one Host/)
      for (const path of ['users', '/a?b', '/../x', '/a/%2', '/a%2fb']) {
        assert.throws(() => {
          x.request.path = path
        }, TypeError)
      }
      assert.throws(() => x.respond(99), RangeError)
      assert.throws(() => x.respond({ headers: { 'x y': '1' } }), TypeError)
      assert.throws(() => x.respond({ headers: { x: '\n' } }), TypeError)
      assert.throws(() => x.response, /await next\(\) first/)
      headers.set('host', 'other.example:81')
      x.request.query = 'a=ü b#c'
      return next()
    }).start()
    assert.deepEqual(driver.defects, [])
    assert.equal(driver.upstream.head, 'GET /users/7?a=%C3%BC%20b%23c host=other.example:81 body=-1')
  })

  it('is no filter when the configuration holds no function for it', () => {
    assert.throws(() => createCustomFilter('auth', undefined, { onDefect() {} }), /no longer has the function auth/)
  })
})

describe('a custom filter that does something wrong', () => {
  it('is answered with 500 when it neither passes on nor answers', async () => {
    for (const fn of [() => {}, async () => {}, async () => void (await Promise.resolve())]) {
      const driver = drive(fn).start()
      await settle()
      assert.equal(driver.client.status, 500)
      assert.deepEqual(defects(driver), ['the filter f0 returned without calling next() or x.respond()'])
      assert.equal(driver.isSent, false)
    }
  })

  it('is answered with 500 when it throws before next()', async () => {
    const sync: FilterFunction = () => {
      throw new Error('sync')
    }
    const async_: FilterFunction = async (x) => {
      await Promise.resolve()
      x.respond(200, 'not sent')
      throw new Error('async')
    }
    for (const fn of [sync, async_]) {
      const driver = drive(fn).start()
      await settle()
      assert.equal(driver.client.status, 500)
      assert.equal(driver.client.finished, 1)
      assert.equal(driver.defects.length, 1)
    }
  })

  it('is answered with 500 instead of the response when it throws after next()', async () => {
    const driver = drive(async (_x, next) => {
      await next()
      throw new Error('after')
    }).start()
    driver.upstream.respondHead('200 OK\nContent-Length: 5')
    await settle()
    assert.equal(driver.client.status, 500)
    assert.equal(driver.upstream.cancelled, true)
    assert.deepEqual(defects(driver), ['after'])
  })

  it('is answered with 500 when it throws between next() and the response', async () => {
    const driver = drive(async (_x, next) => {
      void next()
      throw new Error('between')
    }).start()
    await settle()
    assert.equal(driver.client.heads, 0)
    driver.upstream.respond('200 OK\nContent-Length: 0')
    assert.equal(driver.client.status, 500)
    assert.deepEqual(defects(driver), ['between'])
  })

  it('may not call next() twice, nor after x.respond(), nor answer while next() is under way', async () => {
    const twice = drive(async (_x, next) => {
      await next()
      await next()
    }).start()
    twice.upstream.respond('200 OK\nContent-Length: 0')
    await settle()
    assert.equal(twice.client.status, 500)
    assert.deepEqual(defects(twice), ['next() was called twice'])

    const answered = drive((x, next) => {
      x.respond(200)
      return next()
    }).start()
    assert.deepEqual(defects(answered), ['next() was called after x.respond()'])

    const during = drive((x, next) => {
      void next()
      x.respond(200)
    }).start()
    assert.equal(during.isSent, false)
    assert.match(defects(during)[0] ?? '', /await next\(\) first/)

    const late_ = drive((x, next) => {
      void next()
      assert.throws(() => x.request.headers.set('a', '1'), /change it before next\(\)/)
    }).start()
    assert.deepEqual(late_.defects, [])
  })

  it('cannot change anything once it has returned', async () => {
    let kept: FilterContext | null = null
    const driver = drive(async (x, next) => {
      kept = x
      await next()
    }).start()
    driver.upstream.respondHead('200 OK\nContent-Length: 5')
    await settle()
    assert.equal(driver.client.heads, 1)
    const x = kept as unknown as FilterContext
    assert.throws(() => x.response.headers.set('a', '1'), /filter has returned/)
    assert.throws(() => x.respond(200), /filter has returned/)
    driver.upstream.respondBody('hello')
    driver.upstream.respondEnd()
    assert.equal(driver.client.body, 'hello')
    assert.throws(() => x.respond(200), /exchange has ended/)
  })
})

describe('a custom filter whose exchange ends early', () => {
  it('gets a rejection from next() when the client leaves, and nobody is bothered', async () => {
    const seen: string[] = []
    const driver = drive(async (x, next) => {
      const { signal } = x
      try {
        await next()
      } catch (error) {
        seen.push((error as Error).message, String(signal.aborted))
        throw error
      }
    }).start()
    driver.proxy.onClosed(driver.x)
    await settle()
    assert.deepEqual(seen, ['the exchange has ended: the client has left', 'true'])
    assert.deepEqual(late(driver), [])
    assert.deepEqual(driver.defects, [])
    assert.equal(driver.client.heads, 0)
  })

  it('leaves no unhandled rejection when it does not listen', async () => {
    const driver = drive((x, next) => {
      void next().then(() => x.response.headers.set('a', '1'))
      void x.request.body()
    }).start()
    driver.proxy.onClosed(driver.x)
    const waiting = drive((x, next) => {
      void x.request.body().then(() => {})
      return x.request.text().then(() => next())
    }, `${POST}\nContent-Length: 5`).start()
    waiting.proxy.onClosed(waiting.x)
    await settle()
    assert.deepEqual([late(driver), late(waiting)], [[], []])
  })

  it('is told of by the log when it fails afterwards for a reason of its own', async () => {
    const driver = drive(async (_x, next) => {
      try {
        await next()
      } catch {
        throw new Error('cleaning up failed')
      }
    }).start()
    driver.proxy.onClosed(driver.x)
    await settle()
    assert.deepEqual(late(driver), ['the filter f0 of route users: cleaning up failed'])
  })

  it('is told of by the log when it failed before the response and the client left', async () => {
    const driver = drive(async (_x, next) => {
      void next()
      throw new Error('between')
    }).start()
    await settle()
    driver.proxy.onClosed(driver.x)
    assert.deepEqual(late(driver), ['the filter f0 of route users: between'])
  })

  it('cannot answer a second time when the request timed out before next()', async () => {
    const gate = Promise.withResolvers<void>()
    const seen: string[] = []
    const driver = drive(async (x, next) => {
      const { signal } = x
      signal.addEventListener('abort', () => seen.push('aborted'))
      await gate.promise
      assert.throws(() => x.respond(200), /exchange has ended/)
      assert.throws(() => x.request.headers.set('a', '1'), /exchange has ended/)
      await next()
    }).start()
    driver.timeOut()
    assert.equal(driver.client.status, 504)
    assert.deepEqual(seen, ['aborted'])
    gate.resolve()
    await settle()
    assert.equal(driver.client.heads, 1)
    assert.equal(driver.isSent, false)
    assert.deepEqual(late(driver), [])
    assert.deepEqual(driver.defects, [])
  })

  it('cannot change what was answered when the request timed out after next()', async () => {
    const gate = Promise.withResolvers<void>()
    const seen: string[] = []
    const driver = drive(async (x, next) => {
      await next()
      await gate.promise
      try {
        x.response.headers.set('a', '1')
      } catch (error) {
        seen.push((error as Error).message)
        throw error
      }
    }).start()
    driver.upstream.respond('200 OK\nContent-Length: 0')
    await settle()
    driver.timeOut()
    assert.equal(driver.client.status, 504)
    gate.resolve()
    await settle()
    assert.deepEqual(seen, ['the exchange has ended: it is over'])
    assert.equal(driver.client.heads, 1)
    assert.equal(driver.client.finished, 1)
  })

  it('rejects next() when a filter behind it fails', async () => {
    const seen: string[] = []
    const outer: FilterFunction = async (_x, next) => {
      await next().catch((error: Error) => seen.push(error.message))
    }
    const driver = drive([
      outer,
      () => {
        throw new Error('inner')
      },
    ]).start()
    await settle()
    assert.equal(driver.client.status, 500)
    assert.equal(seen.length, 1)
    assert.match(seen[0] ?? '', /exchange has ended/)
  })
})
