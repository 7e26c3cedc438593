import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import zlib from 'node:zlib'
import { GatewayError } from '../base/error.ts'
import type { FilterFunction } from '../config/filter-api.ts'
import { defects, drive, GET, late, POST, watchRejections } from './custom.contract.ts'
import { settle } from './exchange.contract.ts'

watchRejections()

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
