import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import zlib from 'node:zlib'
import { GatewayError } from '../base/error.ts'
import type { FilterContext, FilterFunction } from '../config/filter-api.ts'
import { createCustomFilter } from './custom.ts'
import { Driver, type RequestOptions, settle } from './exchange.contract.ts'

const GET = 'GET /users/7?a=1 HTTP/1.1\nHost: api.example.com:8080\nX-A: 1'
const POST = 'POST /users HTTP/1.1\nHost: api.example.com'

type DriverOptions = RequestOptions & { params?: Record<string, string>; answer?: string }

/** Drives an exchange through these functions. */
function drive(fns: FilterFunction | FilterFunction[], head = GET, options: DriverOptions = {}): Driver {
  const late: { error: unknown; where: string }[] = []
  const env = { onDefect: (error: unknown, where: string) => late.push({ error, where }) }
  const list = Array.isArray(fns) ? fns : [fns]
  const driver = new Driver(
    list.map((fn, i) => createCustomFilter(`f${i}`, fn, env)),
    head,
    options,
  )
  lateDefects.set(driver, late)
  return driver
}

const lateDefects = new WeakMap<Driver, { error: unknown; where: string }[]>()

/** What filters did wrong when nobody could be answered any more. */
function late(driver: Driver): string[] {
  return (lateDefects.get(driver) ?? []).map(({ error, where }) => `${where}: ${(error as Error).message}`)
}

function defects(driver: Driver): string[] {
  return driver.defects.map(({ error }) => (error as Error).message)
}

const unhandled: unknown[] = []
const onUnhandled = (reason: unknown) => unhandled.push(reason)
before(() => process.on('unhandledRejection', onUnhandled))
after(async () => {
  await settle()
  process.off('unhandledRejection', onUnhandled)
  assert.deepEqual(unhandled, [], 'a test left an unhandled rejection')
})

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

describe('the request body of a custom filter', () => {
  it('is collected and still passed on', async () => {
    const seen: unknown[] = []
    const driver = drive(async (x, next) => {
      seen.push(x.request.hasBody, await x.request.json(), (await x.request.body()).length)
      await next()
    }, `${POST}\nContent-Length: 9`).start()
    assert.equal(driver.requestBody('{"a":'), true)
    driver.requestBody('"b"}')
    await settle()
    assert.equal(driver.isSent, false)
    driver.requestEnd()
    await settle()
    assert.deepEqual(seen, [true, { a: 'b' }, 9])
    assert.equal(driver.upstream.head, 'POST /users host=api.example.com body=9')
    assert.equal(driver.upstream.body, '{"a":"b"}')
    assert.equal(driver.upstream.ended, true)
  })

  it('streams by when nobody asks for it', () => {
    const driver = drive((_x, next) => next(), `${POST}\nTransfer-Encoding: chunked`).start()
    driver.requestBody('abc')
    assert.equal(driver.upstream.body, 'abc')
    driver.requestEnd()
    assert.equal(driver.upstream.ended, true)
  })

  it('asks a client to send that waits for 100 Continue, once', async () => {
    const driver = drive(async (x, next) => {
      await x.request.body()
      await next()
    }, `${POST}\nContent-Length: 2\nExpect: 100-continue`).start()
    assert.equal(driver.client.continues, 1)
    driver.requestBody('hi')
    driver.requestEnd()
    await settle()
    assert.equal(driver.upstream.body, 'hi')
    assert.equal(driver.client.continues, 1)
  })

  it('asks only once also when the client then sends nothing', async () => {
    const driver = drive(async (x, next) => {
      await x.request.body()
      await next()
    }, `${POST}\nTransfer-Encoding: chunked\nExpect: 100-continue`).start()
    driver.requestEnd()
    await settle()
    assert.equal(driver.isSent, true)
    assert.equal(driver.client.continues, 1)
  })

  it('resumes a client that was paused meanwhile', async () => {
    const gate = Promise.withResolvers<void>()
    const driver = drive(async (x, next) => {
      await gate.promise
      assert.equal((await x.request.body()).length, 70_003)
      await next()
    }, `${POST}\nTransfer-Encoding: chunked`).start()
    assert.equal(driver.requestBody('a'.repeat(70_000)), false)
    gate.resolve()
    await settle()
    assert.equal(driver.client.paused, false)
    driver.requestBody('end')
    driver.requestEnd()
    await settle()
    assert.equal(driver.upstream.body.length, 70_003)
    assert.deepEqual(driver.defects, [])
  })

  it('that is too large can be passed on all the same', async () => {
    const codes: string[] = []
    const driver = drive(async (x, next) => {
      await x.request.body(4).catch((error: GatewayError) => codes.push(error.code))
      await next()
    }, `${POST}\nTransfer-Encoding: chunked`).start()
    driver.requestBody('abc')
    driver.requestBody('def')
    await settle()
    assert.deepEqual(codes, ['body_too_large'])
    assert.equal(driver.upstream.body, 'abcdef')
    driver.requestBody('ghi')
    driver.requestEnd()
    assert.equal(driver.upstream.body, 'abcdefghi')
    assert.equal(driver.upstream.ended, true)
  })

  it('that is too large is not collected any further', async () => {
    const driver = drive(async (x, next) => {
      await x.request.body(4).catch(() => {})
      await new Promise(() => {})
      await next()
    }, `${POST}\nTransfer-Encoding: chunked`).start()
    assert.equal(driver.requestBody('abcdef'), true)
    assert.equal(driver.requestBody('x'.repeat(70_000)), false)
    driver.proxy.onClosed(driver.x)
  })

  it('rejects when the request is answered while it still comes in', async () => {
    const gate = Promise.withResolvers<void>()
    const seen: string[] = []
    const outer: FilterFunction = async (_x, next) => {
      await next()
      await gate.promise
    }
    const inner: FilterFunction = async (x, next) => {
      await x.request.body().catch((error: Error) => seen.push(error.name))
      await next()
    }
    const driver = drive([outer, inner], `${POST}\nTransfer-Encoding: chunked`).start()
    driver.requestBody('abc')
    driver.timeOut()
    driver.requestEnd()
    await settle()
    assert.deepEqual(seen, ['ExchangeEndedError'])
    gate.resolve()
    await settle()
    assert.equal(driver.client.status, 504)
    assert.deepEqual(late(driver), [])
  })

  it('is not waited for when its length says that it is too large', async () => {
    const driver = drive(async (x, next) => {
      await assert.rejects(x.request.body(4), (error) => error instanceof GatewayError && error.code === 'body_too_large')
      await next()
    }, `${POST}\nContent-Length: 5`).start()
    await settle()
    assert.equal(driver.isSent, true)
  })

  it('that is too large is no defect', async () => {
    const driver = drive(async (x, next) => {
      await x.request.body(4)
      await next()
    }, `${POST}\nContent-Length: 5`).start()
    await settle()
    assert.equal(driver.client.status, 413)
    assert.deepEqual(driver.defects, [])
  })

  it('rejects when the body turns out to be bad', async () => {
    const seen: string[] = []
    const driver = drive(async (x, next) => {
      await x.request.body().catch((error: Error) => seen.push(error.name))
      await next()
    }, `${POST}\nTransfer-Encoding: chunked`).start()
    driver.proxy.onRequestError(driver.x, 'bad_request', 'the chunked body is not valid')
    await settle()
    assert.deepEqual(seen, ['ExchangeEndedError'])
    assert.equal(driver.client.status, 400)
    assert.equal(driver.isSent, false)
    assert.deepEqual(late(driver), [])
  })

  it('must be awaited before next()', async () => {
    const driver = drive(async (x, next) => {
      void x.request.body()
      await next()
    }, `${POST}\nContent-Length: 5`).start()
    await settle()
    assert.equal(driver.client.status, 500)
    assert.match(defects(driver)[0] ?? '', /await it first/)
  })

  it('is replaced with the right length and type', async () => {
    const driver = drive(async (x, next) => {
      const data = await x.request.json<{ n: number }>()
      x.request.setBody({ n: data.n + 1 })
      assert.equal(await x.request.text(), '{"n":2}')
      await next()
    }, `${POST}\nTransfer-Encoding: chunked\nContent-MD5: x\nContent-Type: application/x+json`).start()
    driver.requestBody('{"n":1}')
    driver.requestEnd()
    await settle()
    assert.equal(driver.upstream.head, 'POST /users host=api.example.com body=7')
    assert.equal(driver.upstream.body, '{"n":2}')
    assert.equal(driver.upstream.ended, true)
    assert.equal(driver.x.request.headers.get('content-md5'), undefined)
    assert.equal(driver.x.request.headers.get('content-type'), 'application/x+json')
  })

  it('is replaced unread, and what the client still sends goes nowhere', async () => {
    const driver = drive((x, next) => {
      x.request.setBody('new')
      return next()
    }, `${POST}\nTransfer-Encoding: chunked`).start()
    assert.equal(driver.isSent, false)
    for (let i = 0; i < 10; i++) assert.equal(driver.requestBody('x'.repeat(60_000)), true)
    assert.ok(driver.x.heldRequestBytes < 200_000)
    assert.equal(driver.isSent, false)
    driver.requestEnd()
    await settle()
    assert.equal(driver.upstream.head, 'POST /users host=api.example.com body=3')
    assert.equal(driver.upstream.body, 'new')
    assert.equal(driver.upstream.ended, true)
    assert.equal(driver.x.request.headers.get('content-type'), 'text/plain; charset=utf-8')
  })

  it('can be given to a request that had none, and taken from one that had', async () => {
    const given = drive((x, next) => {
      assert.equal(x.request.hasBody, false)
      x.request.setBody(new Uint8Array([104, 105]))
      assert.equal(x.request.hasBody, true)
      return next()
    }).start()
    assert.match(given.upstream.head, /body=2$/)
    assert.equal(given.upstream.body, 'hi')
    assert.equal(given.upstream.ended, true)

    const taken = drive((x, next) => {
      x.request.setBody('')
      return next()
    }, `${POST}\nContent-Length: 2`).start()
    taken.requestBody('hi')
    taken.requestEnd()
    await settle()
    assert.match(taken.upstream.head, /body=0$/)
    assert.equal(taken.upstream.body, '')
  })

  it('does not get lost when the client leaves while it is thrown away', async () => {
    const driver = drive(async (x, next) => {
      x.request.setBody('new')
      await next()
    }, `${POST}\nTransfer-Encoding: chunked`).start()
    driver.requestBody('abc')
    driver.proxy.onClosed(driver.x)
    await settle()
    assert.equal(driver.isSent, false)
    assert.equal(driver.client.finished, 1)
    assert.deepEqual(late(driver), [])
  })
})

describe('the response body of a custom filter', () => {
  it('is collected and still passed on', async () => {
    const seen: unknown[] = []
    const driver = drive(async (x, next) => {
      await next()
      seen.push(x.response.hasBody, await x.response.text())
    }).start()
    driver.upstream.respondHead('200 OK\nTransfer-Encoding: chunked')
    assert.equal(driver.upstream.respondBody('hel'), false)
    await settle()
    assert.equal(driver.upstream.paused, false)
    assert.equal(driver.upstream.respondBody('lo'), true)
    driver.upstream.respondEnd()
    await settle()
    assert.deepEqual(seen, [true, 'hello'])
    assert.equal(driver.client.body, 'hello')
    assert.equal(driver.client.ended, true)
  })

  it('streams by when nobody asks for it', async () => {
    const driver = drive(async (_x, next) => {
      await next()
    }).start()
    driver.upstream.respondHead('200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked')
    await settle()
    assert.equal(driver.client.heads, 1)
    assert.equal(driver.upstream.respondBody('data: 1\n\n'), true)
    assert.equal(driver.client.body, 'data: 1\n\n')
  })

  it('is replaced with the right length, and without what spoke of the old one', async () => {
    const driver = drive(async (x, next) => {
      await next()
      const body = await x.response.json<{ n: number }>()
      x.response.setBody({ ...body, more: true })
    }).start()
    driver.upstream.respond(
      '200 OK\nTransfer-Encoding: chunked\nETag: "a"\nAccept-Ranges: bytes\nContent-MD5: x\nDigest: y\nX-Keep: 1\nContent-Type: application/json',
      '{"n":1}',
    )
    await settle()
    assert.equal(driver.client.body, '{"n":1,"more":true}')
    assert.equal(driver.client.contentLength, 19)
    assert.deepEqual(
      driver.client.headers.map(([name]) => name.toLowerCase()).filter((name) => name !== 'date'),
      ['x-keep', 'content-type', 'x-request-id'],
    )
  })

  it('is replaced unread without waiting for the rest', async () => {
    const driver = drive(async (x, next) => {
      await next()
      x.response.setBody('new')
      x.response.headers.set('x-after', '1')
    }).start()
    driver.upstream.respondHead('200 OK\nContent-Length: 1000000\nETag: "a"\nServer: s')
    driver.upstream.respondBody('start')
    await settle()
    assert.equal(driver.upstream.cancelled, true)
    assert.equal(driver.client.status, 200)
    assert.equal(driver.client.body, 'new')
    assert.equal(driver.client.contentLength, 3)
    assert.equal(driver.client.header('server'), 's')
    assert.equal(driver.client.header('x-after'), '1')
    assert.equal(driver.client.header('etag'), undefined)
    assert.equal(driver.client.headers.filter(([name]) => name === 'X-Request-Id').length, 1)
    assert.equal(driver.client.headers.filter(([name]) => name === 'Date').length, 1)
  })

  it('stays empty where there is none', async () => {
    const rewrite: FilterFunction = async (x, next) => {
      await next()
      assert.equal(x.response.hasBody, false)
      assert.equal(await x.response.text(), '')
      x.response.setBody('body')
    }
    const head = drive(rewrite, GET.replace('GET', 'HEAD')).start()
    head.upstream.respond('200 OK\nContent-Length: 10\nETag: "a"')
    await settle()
    assert.equal(head.client.body, '')
    assert.equal(head.client.contentLength, -1)
    assert.equal(head.client.header('etag'), undefined)
    for (const status of ['204 No Content', '304 Not Modified']) {
      const driver = drive(rewrite).start()
      driver.upstream.respond(`${status}\nETag: "a"`)
      await settle()
      assert.equal(driver.client.body, '')
      assert.equal(driver.client.header('etag'), '"a"')
    }
  })

  it('cannot be replaced when it is a part', async () => {
    const driver = drive(async (x, next) => {
      await next()
      assert.throws(() => x.response.setBody('new'), /206 response holds a part/)
    }).start()
    driver.upstream.respond('206 Partial Content\nContent-Range: bytes 0-1/10\nContent-Length: 2', 'ab')
    await settle()
    assert.equal(driver.client.status, 206)
    assert.equal(driver.client.body, 'ab')
  })

  it('that is too large can be passed on all the same', async () => {
    const codes: string[] = []
    const driver = drive(async (x, next) => {
      await next()
      await x.response.body(4).catch((error: GatewayError) => codes.push(error.code))
    }).start()
    driver.upstream.respondHead('200 OK\nTransfer-Encoding: chunked')
    await settle()
    driver.upstream.respondBody('abc')
    driver.upstream.respondBody('def')
    await settle()
    assert.deepEqual(codes, ['upstream_protocol'])
    driver.upstream.respondBody('ghi')
    driver.upstream.respondEnd()
    assert.equal(driver.client.body, 'abcdefghi')
    assert.equal(driver.client.ended, true)
  })

  it('that is too large is answered with 502 and is no defect', async () => {
    const driver = drive(async (x, next) => {
      await next()
      await x.response.body(4)
    }).start()
    driver.upstream.respondHead('200 OK\nContent-Length: 5')
    await settle()
    assert.equal(driver.client.status, 502)
    assert.deepEqual(driver.defects, [])
  })

  it('rejects when the endpoint breaks off inside it', async () => {
    const seen: string[] = []
    const driver = drive(async (x, next) => {
      await next()
      await x.response.body().catch((error: Error) => seen.push(error.name))
      x.response.headers.set('a', '1')
    }).start()
    driver.upstream.respondHead('200 OK\nContent-Length: 10')
    await settle()
    driver.upstream.respondBody('abc')
    driver.upstream.fail('upstream_truncated')
    await settle()
    assert.deepEqual(seen, ['ExchangeEndedError'])
    assert.equal(driver.client.status, 502)
    assert.equal(driver.client.heads, 1)
    assert.deepEqual(late(driver), [])
  })

  it('is read through its content coding as text and json, within the limit', async () => {
    const packed = zlib.gzipSync('{"a":1}').toString('latin1')
    const seen: unknown[] = []
    const driver = drive(async (x, next) => {
      await next()
      seen.push(await x.response.json(), (await x.response.body()).length)
      x.response.setBody('plain')
    }).start()
    driver.upstream.respond(`200 OK\nContent-Encoding: gzip\nContent-Length: ${packed.length}`, packed)
    for (let i = 0; i < 50 && driver.client.heads === 0; i++) await new Promise((resolve) => setImmediate(resolve))
    for (let i = 0; i < 200 && driver.client.heads === 0; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(seen, [{ a: 1 }, packed.length])
    assert.equal(driver.client.body, 'plain')
    assert.equal(driver.client.header('content-encoding'), undefined)
  })

  it('does not unpack more than the limit allows', async () => {
    const packed = zlib.gzipSync(Buffer.alloc(5_000_000)).toString('latin1')
    const codes: string[] = []
    const driver = drive(async (x, next) => {
      await next()
      await x.response.text(100_000).catch((error: GatewayError) => codes.push(error.code))
    }).start()
    driver.upstream.respond(`200 OK\nContent-Encoding: gzip\nContent-Length: ${packed.length}`, packed)
    for (let i = 0; i < 200 && driver.client.heads === 0; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(codes, ['upstream_protocol'])
    assert.equal(driver.client.body, packed)
  })
})
