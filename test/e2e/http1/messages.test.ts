/** Messages through the gateway: methods, bodies in every framing, HTTP/1.0, trailers, Expect, interim responses, targets. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { OK, openClient, problem, readMessage, request, sleep, startGateway, startScript, statusOf } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address])
const port = gateway.port()

beforeEach(() => upstream.reset())

const respond = (head: string, body = '') => {
  upstream.answer = (_, connection) => connection.write(`${head}\r\n\r\n${body}`)
}
/** Answers and closes. */
const respondAndClose = (text: string) => {
  upstream.answer = (_, { socket }) => void socket.end(text, 'latin1')
}
const chunked = (...pieces: string[]) => `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`

test('every method goes through, with and without a body, and the response comes back', async (t) => {
  const client = await openClient(t, port)
  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'M-SEARCH', 'X!#$%&']) {
    for (const body of ['', 'some body']) {
      client.send(request(method, '/a?b=c', [], body))
      const response = await client.response()
      assert.equal(response.start, 'HTTP/1.1 200 OK')
      assert.equal(response.body, 'ok')
      const seen = upstream.requests.at(-1)!
      assert.equal(seen.start, `${method} /a?b=c HTTP/1.1`)
      assert.equal(seen.body, body)
      assert.equal(seen.get('host'), 'example.com')
    }
  }
  assert.equal(upstream.connections, 1, 'one kept connection served them all')
})

test('HEAD, 204 and 304 have no body, whatever their fields say, and the connection goes on', async (t) => {
  const client = await openClient(t, port)
  const go = async (method: string, head: string) => {
    respond(head)
    client.send(request(method))
    const response = await client.response({ bodyless: method === 'HEAD' })
    client.send(request('GET', '/next'))
    respond('HTTP/1.1 200 OK\r\nContent-Length: 4', 'next')
    assert.equal((await client.response()).body, 'next')
    return response
  }
  const withLength = await go('HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: "x"')
  assert.equal(withLength.get('content-length'), '12345')
  assert.equal(withLength.get('etag'), '"x"')
  const chunkedHead = await go('HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked')
  assert.equal(statusOf(chunkedHead), 200)
  assert.equal(statusOf(await go('HEAD', 'HTTP/1.1 200 OK')), 200)
  assert.equal(statusOf(await go('HEAD', 'HTTP/1.1 404 Not Found\r\nContent-Length: 9')), 404)
  const none = await go('GET', 'HTTP/1.1 204 No Content\r\nX-A: b')
  assert.equal(none.get('content-length'), undefined)
  assert.equal(none.get('transfer-encoding'), undefined)
  assert.equal(none.get('x-a'), 'b')
  const notModified = await go('GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "y"')
  assert.equal(notModified.get('etag'), '"y"')
})

test('206 goes through with its range, 205 and an empty 200 keep the connection', async (t) => {
  const client = await openClient(t, port)
  respond('HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3', 'cde')
  client.send(request('GET', '/', ['Range: bytes=2-4', 'If-Range: "v"']))
  const part = await client.response()
  assert.equal(part.start, 'HTTP/1.1 206 Partial Content')
  assert.equal(part.get('content-range'), 'bytes 2-4/10')
  assert.equal(part.body, 'cde')
  assert.equal(upstream.requests[0]!.get('range'), 'bytes=2-4')
  assert.equal(upstream.requests[0]!.get('if-range'), '"v"')
  respond('HTTP/1.1 205 Reset Content\r\nContent-Length: 0')
  client.send(request())
  assert.equal(statusOf(await client.response()), 205)
  respond('HTTP/1.1 200 OK\r\nContent-Length: 0')
  client.send(request())
  assert.equal((await client.response()).body, '')
  assert.equal(upstream.connections - 0 > 0, true)
})

test('status lines: unknown codes and reasons of their own go through, an empty reason too', async (t) => {
  const client = await openClient(t, port)
  for (const line of [
    'HTTP/1.1 299 Odd',
    'HTTP/1.1 200 Fine',
    'HTTP/1.1 404 Nothing to see',
    'HTTP/1.1 599 x',
    'HTTP/1.1 418 I am a teapot',
  ]) {
    respond(`${line}\r\nContent-Length: 0`)
    client.send(request())
    assert.equal((await client.response()).start, line)
  }
  respond('HTTP/1.1 200\r\nContent-Length: 0')
  client.send(request())
  assert.match((await client.response()).start, /^HTTP\/1\.1 200 /)
})

test('response bodies: by length, chunked in any pieces, and until the connection closes', async (t) => {
  const client = await openClient(t, port)
  respond('HTTP/1.1 200 OK\r\nContent-Length: 11', 'hello world')
  client.send(request())
  assert.equal((await client.response()).framing, 'length')

  respond('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', chunked('hello', ' ', 'world'))
  client.send(request())
  const coded = await client.response()
  assert.deepEqual([coded.framing, coded.body, coded.get('content-length')], ['chunked', 'hello world', undefined])

  const text = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked('ab', 'cde', 'f'.repeat(20))}`
  upstream.answer = async (_, { socket }) => {
    for (const char of text) {
      socket.write(char, 'latin1')
      await sleep(1)
    }
  }
  client.send(request())
  assert.equal((await client.response()).body, `abcde${'f'.repeat(20)}`)

  respondAndClose('HTTP/1.1 200 OK\r\nX-End: close\r\n\r\nuntil the end')
  client.send(request())
  const open = await client.response()
  assert.deepEqual([open.framing, open.body, open.get('x-end')], ['chunked', 'until the end', 'close'])
  upstream.reset()
  client.send(request())
  assert.equal((await client.response()).body, 'ok', 'the client keeps its connection')
})

test('request bodies: by length and chunked, split at every byte, are framed anew', async (t) => {
  const client = await openClient(t, port)
  const message = `POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n${chunked('hello', ' world')}`
  client.send(message)
  assert.equal((await client.response()).body, 'ok')
  const seen = upstream.requests[0]!
  assert.deepEqual([seen.framing, seen.body, seen.get('content-length')], ['chunked', 'hello world', undefined])
  for (const char of message) {
    client.send(char)
    await sleep(0)
  }
  assert.equal((await client.response()).body, 'ok')
  assert.equal(upstream.requests[1]!.body, 'hello world')

  // Extensions, leading zeros and upper case end here.
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ChunKed\r\n\r\n000A;x="y;"\r\n0123456789\r\n0\r\n\r\n')
  await client.response()
  const plain = upstream.requests[2]!
  assert.equal(plain.body, '0123456789')
  assert.equal(upstream.received().includes('x="y'), false)
  assert.deepEqual(plain.all('transfer-encoding'), ['chunked'])

  for (const length of [1, 1000, 16_384, 16_385, 70_000, 200_000]) {
    const body = 'x'.repeat(length)
    client.send(request('PUT', '/', [], body))
    await client.response()
    const put = upstream.requests.at(-1)!
    assert.deepEqual([put.framing, put.body.length], ['length', length])
  }
  client.send(request('POST', '/', ['Content-Length: 0']))
  await client.response()
  assert.equal(upstream.requests.at(-1)!.get('content-length'), '0')
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)
  await client.response()
  assert.equal(upstream.requests.at(-1)!.framing, 'chunked')
})

test('HTTP/1.0 clients: closed after the response, kept on request, never chunked', async (t) => {
  const plain = await openClient(t, port)
  plain.send('GET / HTTP/1.0\r\n\r\n')
  const first = await plain.response()
  assert.equal(await plain.end(), 'closed')
  assert.equal(first.get('connection'), 'close')
  assert.equal(upstream.requests[0]!.start, 'GET / HTTP/1.1')
  assert.equal(upstream.requests[0]!.get('host'), upstream.address)

  const kept = await openClient(t, port)
  for (let i = 0; i < 3; i++) {
    kept.send('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
    assert.equal((await kept.response()).get('connection'), 'keep-alive')
  }

  respond('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', chunked('hello', ' world'))
  kept.send('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
  assert.equal(await kept.end(), 'closed')
  const response = readMessage(kept.text)!
  assert.deepEqual([response.framing, response.body, response.get('connection')], ['close', 'hello world', 'close'])

  const post = await openClient(t, port)
  post.send('POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody')
  await post.end()
  assert.equal(upstream.requests.at(-1)!.body, 'body')
})

test('Connection: close of an HTTP/1.1 client is honoured', async (t) => {
  const client = await openClient(t, port)
  client.send(request('GET', '/', ['Connection: close']))
  assert.equal((await client.response()).get('connection'), 'close')
  assert.equal(await client.end(), 'closed')
  assert.equal(upstream.requests[0]!.get('connection'), undefined)
})

test('HTTP/1.0 upstreams: closed unless they say keep-alive', async (t) => {
  const client = await openClient(t, port)
  const before = upstream.connections
  respondAndClose('HTTP/1.0 200 OK\r\n\r\nold and open')
  client.send(request())
  assert.equal((await client.response()).body, 'old and open')
  // Its length is known, but the connection is not kept: the upstream would not expect another request.
  respond('HTTP/1.0 200 OK\r\nContent-Length: 3', 'old')
  client.send(request())
  assert.equal((await client.response()).body, 'old')
  client.send(request())
  assert.equal((await client.response()).body, 'old')
  assert.equal(upstream.connections - before, 3)
  respond('HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive', 'old')
  for (let i = 0; i < 3; i++) {
    client.send(request())
    const response = await client.response()
    assert.equal(response.start, 'HTTP/1.1 200 OK')
    assert.equal(response.get('connection'), undefined)
  }
  assert.equal(upstream.connections - before, 4)
})

test('trailers reach only clients that asked, without those that could do harm', async (t) => {
  const client = await openClient(t, port)
  const trailers = 'X-Sum: 1\r\nContent-Length: 5\r\nAuthorization: x\r\nSet-Cookie: a=b\r\nHost: evil\r\nGrpc-Status: 0\r\n'
  const body = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n${trailers}\r\n`
  upstream.answer = (_, connection) => connection.write(body)
  client.send(request())
  assert.equal((await client.response()).trailers, '')
  client.send(request('GET', '/', ['TE: trailers', 'Connection: TE']))
  const asked = await client.response()
  assert.equal(asked.trailers, 'X-Sum: 1\r\nGrpc-Status: 0\r\n')
  client.send(request('GET', '/', ['TE: gzip;q=0.5']))
  assert.equal((await client.response()).trailers, '')
  // A client that cannot have trailers at all: HTTP/1.0 has no chunks.
  const old = await openClient(t, port)
  old.send('GET / HTTP/1.0\r\nTE: trailers\r\n\r\n')
  await old.end()
  assert.equal(readMessage(old.text)!.body, 'ok')
})

test('request trailers go to the upstream, without those that could do harm', async (t) => {
  const client = await openClient(t, port)
  client.send(
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nX-Forwarded-For: 6.6.6.6\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  await client.response()
  assert.equal(upstream.requests[0]!.trailers, 'X-Sum: 7\r\n')
})

test('TE goes on only as trailers', async (t) => {
  const client = await openClient(t, port)
  const sent = async (...fields: string[]) => {
    client.send(request('GET', '/', fields))
    await client.response()
    return upstream.requests.at(-1)!.all('te')
  }
  assert.deepEqual(await sent('TE: trailers'), ['trailers'])
  assert.deepEqual(await sent('TE: gzip'), [])
  assert.deepEqual(await sent('TE: trailers, deflate;q=0.5'), [])
  assert.deepEqual(await sent('TE: trailers', 'TE: gzip'), [])
})

test('Expect: 100-continue is answered once, when the request is accepted, and the body then goes through', async (t) => {
  const client = await openClient(t, port)
  client.send(request('PUT', '/', ['Expect: 100-continue', 'Content-Length: 5']))
  assert.equal((await client.response()).start, 'HTTP/1.1 100 Continue')
  assert.equal(upstream.requests.length, 0)
  client.send('hello')
  assert.equal((await client.response()).body, 'ok')
  assert.equal(upstream.requests[0]!.body, 'hello')
  assert.equal(upstream.requests[0]!.get('expect'), undefined)
  assert.equal(client.text, '')

  // A client that does not wait gets no 100, or one before its response: never two.
  client.send(`${request('PUT', '/', ['Expect: 100-continue', 'Content-Length: 5'])}hello`)
  const next = await client.response()
  if (statusOf(next) === 100) assert.equal(statusOf(await client.response()), 200)
  // The upstream's own 100 is its answer to nobody.
  upstream.onBytes = (connection) => {
    if (connection.received.endsWith('hello')) connection.write('HTTP/1.1 100 Continue\r\n\r\n')
  }
  client.send(request('PUT', '/', ['Expect: 100-Continue', 'Content-Length: 5']))
  assert.equal(statusOf(await client.response()), 100)
  client.send('hello')
  assert.equal(statusOf(await client.response()), 200)
  // Without a body there is nothing to wait for.
  client.send(request('GET', '/', ['Expect: 100-continue']))
  assert.equal(statusOf(await client.response()), 200)
})

test('Expect: a rejected request gets its final status at once and no 100; an unknown expectation 417', async (t) => {
  const big = await openClient(t, port)
  big.send(request('PUT', '/', ['Expect: 100-continue', `Content-Length: ${2 * 1024 ** 3}`]))
  const refused = await big.response()
  assert.deepEqual([statusOf(refused), problem(refused).code], [413, 'body_too_large'])
  assert.equal(refused.get('connection'), 'close')
  assert.equal(await big.end(), 'closed')
  const odd = await openClient(t, port)
  odd.send(request('PUT', '/', ['Expect: the-unexpected', 'Content-Length: 5']))
  const unknown = await odd.response()
  assert.deepEqual([statusOf(unknown), problem(unknown).code], [417, 'expectation_failed'])
  assert.equal(await odd.end(), 'closed')
  assert.equal(upstream.received(), '')
  // An HTTP/1.0 client cannot be told to continue (RFC 9110 section 10.1.1).
  const old = await openClient(t, port)
  old.send('PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n')
  await sleep(100)
  assert.equal(old.text, '')
  old.send('hi')
  assert.equal(statusOf(await old.response()), 200)
})

test('100 is sent once, also when the request is repeated on another connection', async (t) => {
  const client = await openClient(t, port)
  client.send(request())
  await client.response()
  const kept = upstream.log[0]!
  // The kept connection dies under the head of the next request.
  upstream.onBytes = (connection) => {
    if (connection === kept && connection.requests.length === 1) connection.socket.destroy()
  }
  client.send(request('PUT', '/again', ['Expect: 100-continue', 'Content-Length: 5']))
  assert.equal(statusOf(await client.response()), 100)
  await sleep(150)
  assert.equal(client.text, '', 'no second 100')
  client.send('hello')
  assert.equal((await client.response()).body, 'ok')
  assert.equal(upstream.requests.at(-1)!.body, 'hello')
})

test('interim responses go to clients that know them, in order, without hop-by-hop fields', async (t) => {
  const client = await openClient(t, port)
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n'
  upstream.answer = (_, connection) => connection.write(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${hints}${OK}`)
  client.send(request())
  assert.equal(statusOf(await client.response()), 102)
  const early = await client.response()
  assert.equal(early.start, 'HTTP/1.1 103 Early Hints')
  assert.deepEqual(
    early.fields.filter(([name]) => name !== 'X-Request-Id'),
    [['Link', '</a.css>; rel=preload']],
  )
  assert.equal((await client.response()).body, 'ok')
  const old = await openClient(t, port)
  old.send('GET / HTTP/1.0\r\n\r\n')
  assert.equal(statusOf(await old.response()), 200)
})

test('101 that nobody asked for is 502', async (t) => {
  const client = await openClient(t, port)
  upstream.answer = (_, connection) => connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\n')
  client.send(request('GET', '/', ['Connection: upgrade', 'Upgrade: evil']))
  const response = await client.response()
  assert.deepEqual([statusOf(response), problem(response).code], [502, 'upstream_protocol'])
  assert.equal(upstream.requests[0]!.get('upgrade'), undefined)
})

test('targets: the absolute form beats Host and goes on in origin form; OPTIONS * and CONNECT', async (t) => {
  const client = await openClient(t, port)
  client.send('GET http://real.example:81/x?y=1 HTTP/1.1\r\nHost: other.example\r\n\r\n')
  await client.response()
  assert.equal(upstream.requests[0]!.start, 'GET /x?y=1 HTTP/1.1')
  assert.deepEqual(upstream.requests[0]!.all('host'), ['real.example:81'])
  assert.equal(upstream.requests[0]!.get('x-forwarded-host'), 'real.example:81')
  client.send('GET http://real.example?q HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.response()
  assert.equal(upstream.requests[1]!.start, 'GET /?q HTTP/1.1')

  client.send('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.equal(statusOf(await client.response()), 200)
  assert.equal(upstream.requests[2]!.start, 'OPTIONS * HTTP/1.1')
  // RFC 9112 section 3.2.4: the last proxy turns an absolute form without a path into the asterisk.
  client.send('OPTIONS http://real.example:81 HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.response()
  assert.equal(upstream.requests[3]!.start, 'OPTIONS * HTTP/1.1')

  client.send('CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n')
  const refused = await client.response()
  assert.deepEqual([statusOf(refused), problem(refused).code], [405, 'method_not_allowed'])
  assert.notEqual(refused.get('allow'), undefined)
  assert.equal(upstream.requests.length, 4)
})

test('a response without Date gets one, a response with one keeps it', async (t) => {
  const client = await openClient(t, port)
  client.send(request())
  const dated = (await client.response()).get('date')
  assert.ok(Math.abs(Date.parse(dated!) - Date.now()) < 5000, dated)
  respond('HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0')
  client.send(request())
  assert.deepEqual((await client.response()).all('date'), ['Tue, 15 Nov 1994 08:12:31 GMT'])
})
