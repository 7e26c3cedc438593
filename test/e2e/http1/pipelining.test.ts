/** Requests sent ahead by the thousand that the gateway answers itself: all in order, and not before everybody else. */
import assert from 'node:assert/strict'
import type net from 'node:net'
import { after, beforeEach, test } from 'node:test'
import { Authority, connect } from '../tls/kit.ts'
import { openClient, readMessages, request, residentMiB, startGateway, startScript } from './kit.ts'

const scope = { after }
const authority = new Authority(scope)
const certificate = authority.issue('a.test')
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], {
  more: {
    workers: 1,
    listeners: {
      web: { address: '127.0.0.1:0' },
      secure: { address: '127.0.0.1:0', tls: { certificates: [{ cert: certificate.certPath, key: certificate.keyPath }] } },
    },
    routes: {
      one: { match: { path: '/one' }, respond: { body: '(one)' } },
      two: { match: { path: '/two' }, respond: { body: '(two)' } },
      up: { match: { path: '/up' }, to: 'up' },
    },
  },
})
const COUNT = 20_000
beforeEach(() => upstream.reset())

/** COUNT requests; each 499th one goes to the endpoint, every third one to no route. */
const targets = Array.from({ length: COUNT }, (_, i) => (i % 499 === 498 ? '/up' : (['/one', '/two', '/none'][i % 3] as string)))
const expected = targets.map((target) => ({ '/one': '(one)', '/two': '(two)', '/up': 'ok', '/none': 'route_not_found' })[target]).join(' ')
const bytes = Buffer.from(targets.map((target) => request('GET', target)).join(''), 'latin1')

/** The body of each answer, or the code of a problem. */
function answersIn(text: string): string {
  return readMessages(text)
    .map(({ body }) => /"code":"(\w+)"/.exec(body)?.[1] ?? body)
    .join(' ')
}

/** All that comes until the gateway closes. */
function collect(socket: net.Socket): Promise<string> {
  const pieces: Buffer[] = []
  socket.on('data', (piece: Buffer) => pieces.push(piece))
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('end', () => resolve(Buffer.concat(pieces).toString('latin1')))
  })
}

test('20,000 requests in one write with a FIN behind them: 20,000 answers in order, then the end', async (t) => {
  const { socket } = await openClient(t, gateway.port('web'))
  const text = collect(socket)
  socket.end(bytes)
  assert.equal(answersIn(await text), expected)
})

test('the same over TLS', async (t) => {
  const { socket } = await connect(t, gateway.port('secure'), { ca: authority.cert, servername: 'a.test' })
  const text = collect(socket)
  socket.end(bytes)
  assert.equal(answersIn(await text), expected)
})

test('what is wrong among them, or says that it is the last, is answered in its place and the rest is not', async (t) => {
  for (const [end, count, last] of [
    ['GET / HTTP/1.1\r\nbroken\r\n\r\n', 1001, 'bad_request'],
    [request('GET', '/two', ['Connection: close']), 1001, '(two)'],
  ] as const) {
    const { socket } = await openClient(t, gateway.port('web'))
    const text = collect(socket)
    socket.write(request('GET', '/one').repeat(1000) + end + request('GET', '/one').repeat(1000))
    const answers = answersIn(await text).split(' ')
    assert.equal(answers.length, count)
    assert.equal(answers.at(-1), last)
  }
})

test('a client that reads none of its answers costs no memory, and gets all of them when it does', async (t) => {
  const { socket } = await openClient(t, gateway.port('web'))
  socket.pause()
  const before = await residentMiB(gateway.pid)
  for (let i = 0; i < 3; i++) socket.write(bytes)
  await new Promise((resolve) => setTimeout(resolve, 500))
  const held = (await residentMiB(gateway.pid)) - before
  assert.ok(held < 40, `${held} MiB`)
  const text = collect(socket)
  socket.resume()
  socket.end()
  assert.equal(answersIn(await text), Array.from({ length: 3 }, () => expected).join(' '))
})

test('a bystander is served in between', async (t) => {
  const port = gateway.port('web')
  const bystander = await openClient(t, port)
  const { socket } = await openClient(t, port)
  let isOver = false
  const text = collect(socket).then(() => (isOver = true))
  socket.end(request('GET', '/one').repeat(COUNT))
  let served = 0
  while (!isOver) {
    bystander.send(request('GET', '/two'))
    await bystander.response()
    served++
  }
  await text
  t.diagnostic(`${served} answers`)
  // 12 or so where a turn takes a whole read.
  assert.ok(served >= 40, `${served} answers`)
})
