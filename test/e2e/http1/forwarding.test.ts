/** The fields that cross the gateway: who the client is, what ends at this hop, and what is added. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { type Message, openClient, problem, request, startGateway, startScript, statusOf } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], {
  more: {
    listeners: {
      web: { address: '127.0.0.1:0' },
      trusting: { address: '127.0.0.1:0', trustedProxies: ['127.0.0.0/8', '10.0.0.0/8', 'fd00::/8'] },
      rfc: { address: '127.0.0.1:0', headers: { forwarded: 'rfc7239', via: null } },
      both: { address: '127.0.0.1:0', trustedProxies: ['127.0.0.1'], headers: { forwarded: 'both', via: 'edge' } },
      none: { address: '127.0.0.1:0', headers: { forwarded: 'none', via: null, requestId: false } },
      six: { address: '[::1]:0', headers: { forwarded: 'both' } },
      reject: { address: '127.0.0.1:0', headers: { underscore: 'reject' } },
      keep: { address: '127.0.0.1:0', headers: { underscore: 'keep' } },
    },
    services: {
      up: { endpoints: [upstream.address], ejection: null },
      endpoint: { endpoints: [upstream.address], ejection: null, hostHeader: 'endpoint' },
      literal: { endpoints: [upstream.address], ejection: null, hostHeader: 'backend.internal:81' },
    },
    routes: {
      all: { to: 'up' },
      endpoint: { match: { prefix: '/endpoint' }, to: 'endpoint' },
      literal: { match: { prefix: '/literal' }, to: 'literal' },
      who: { match: { path: '/who' }, filters: [{ headers: { request: { set: { 'x-client': '${clientIp}' } } } }], to: 'up' },
      vip: { match: { path: '/vip', clientIp: '203.0.113.7' }, respond: { body: 'is it' } },
    },
  },
})

beforeEach(() => upstream.reset())

/** Sends these field lines; the answer is the request as the upstream saw it, and the response as the client did. */
async function exchange(
  t: { after(fn: () => void): void },
  fields: string[],
  { listener = 'web', target = '/', host = 'example.com' }: { listener?: string; target?: string; host?: string } = {},
): Promise<{ seen: Message; response: Message; clientPort: number }> {
  const client = await openClient(t, gateway.port(listener), listener === 'six' ? '::1' : '127.0.0.1')
  client.send([`GET ${target} HTTP/1.1`, `Host: ${host}`, ...fields, '', ''].join('\r\n'))
  const response = await client.response()
  const clientPort = client.socket.localPort!
  client.socket.destroy()
  return { seen: upstream.requests.at(-1)!, response, clientPort }
}

const FORWARDING = [
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
  'forwarded',
  'via',
] as const
const forwarding = (seen: Message) =>
  Object.fromEntries(FORWARDING.flatMap((name) => (seen.get(name) === undefined ? [] : [[name, seen.all(name).join(' | ')]])))

test('the upstream learns who the client is', async (t) => {
  const { seen } = await exchange(t, [], { host: 'Example.com:8080' })
  assert.deepEqual(forwarding(seen), {
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'Example.com:8080',
    'x-forwarded-port': String(gateway.port()),
    via: '1.1 sluice',
  })
})

const SPOOF = [
  'X-Forwarded-For: 6.6.6.6',
  'x-forwarded-for: 7.7.7.7, 8.8.8.8',
  'X-FORWARDED-PROTO: https',
  'X-Forwarded-Host: evil',
  'X-Forwarded-Port: 1',
  'X-Real-IP: 6.6.6.6',
  'Forwarded: for=6.6.6.6;proto=https',
  'X_Forwarded_For: 6.6.6.6',
  'X-Forwarded_For: 6.6.6.6',
  'X_Real_IP: 6.6.6.6',
]

test('what an untrusted client says about itself is replaced, in every spelling', async (t) => {
  const { seen } = await exchange(t, [...SPOOF, 'Via: 1.0 before'])
  assert.deepEqual(forwarding(seen), {
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'example.com',
    'x-forwarded-port': String(gateway.port()),
    via: '1.0 before, 1.1 sluice',
  })
  for (const value of ['6.6.6.6', '7.7.7.7', '8.8.8.8', 'evil']) assert.equal(upstream.received().includes(value), false, value)
  const rfc = await exchange(t, SPOOF, { listener: 'rfc' })
  assert.deepEqual(forwarding(rfc.seen), { forwarded: 'for=127.0.0.1;proto=http;host=example.com' })
  const none = await exchange(t, SPOOF, { listener: 'none' })
  assert.deepEqual(forwarding(none.seen), {})
  assert.equal(upstream.received().includes('6.6.6.6'), false)
})

test('also where names with an underscore are kept, a client cannot pass for another', async (t) => {
  const { seen } = await exchange(t, [...SPOOF, 'X_Other: kept'], { listener: 'keep' })
  assert.equal(upstream.received().includes('6.6.6.6'), false)
  assert.equal(seen.get('x_other'), 'kept')
})

test('underscores: dropped, refused or kept', async (t) => {
  assert.equal((await exchange(t, ['X_A: b', 'X-A: c'])).seen.get('x_a'), undefined)
  const refused = await exchange(t, ['X_A: b'], { listener: 'reject' })
  assert.deepEqual([statusOf(refused.response), problem(refused.response).code], [400, 'bad_request'])
  assert.equal((await exchange(t, ['X_A: b'], { listener: 'keep' })).seen.get('x_a'), 'b')
})

test('a trusted proxy is believed and extended', async (t) => {
  const fields = [
    'X-Forwarded-For: 203.0.113.7, 10.1.1.1',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: public.example',
    'X-Forwarded-Port: 443',
  ]
  const { seen } = await exchange(t, [...fields, 'X-Request-Id: from-the-edge', 'Via: 1.1 edge'], { listener: 'trusting' })
  assert.deepEqual(forwarding(seen), {
    'x-forwarded-for': '203.0.113.7, 10.1.1.1, 127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'public.example',
    'x-forwarded-port': '443',
    via: '1.1 edge, 1.1 sluice',
  })
  assert.equal(seen.get('x-request-id'), 'from-the-edge')
  const both = await exchange(t, ['Forwarded: for=203.0.113.7;proto=https', 'X-Forwarded-For: 203.0.113.7'], { listener: 'both' })
  assert.equal(both.seen.get('forwarded'), 'for=203.0.113.7;proto=https, for=127.0.0.1;proto=http;host=example.com')
  assert.equal(both.seen.get('x-forwarded-for'), '203.0.113.7, 127.0.0.1')
  assert.equal(both.seen.get('via'), '1.1 edge')
  const without = await exchange(t, [], { listener: 'trusting' })
  assert.equal(without.seen.get('x-forwarded-for'), '127.0.0.1')
  assert.equal(without.seen.get('x-forwarded-host'), 'example.com')
})

test('the client behind trusted proxies is the rightmost address that is not trusted', async (t) => {
  const isVip = async (list: string[], listener = 'trusting') => {
    const { response } = await exchange(
      t,
      list.map((value) => `X-Forwarded-For: ${value}`),
      { listener, target: '/vip' },
    )
    return response.body === 'is it'
  }
  assert.equal(await isVip(['203.0.113.7']), true)
  assert.equal(await isVip(['203.0.113.7, 10.1.1.1, 127.0.0.2']), true)
  assert.equal(await isVip(['203.0.113.7', '10.1.1.1']), true, 'two fields are one list')
  assert.equal(await isVip(['203.0.113.7:1234, fd00::1']), true, 'a port, and a trusted IPv6 address')
  assert.equal(await isVip(['203.0.113.7, [fd00::1]:443']), true)
  assert.equal(await isVip(['::ffff:203.0.113.7']), true, 'an IPv4 address in its IPv6 form')
  assert.equal(await isVip(['203.0.113.7, 198.51.100.1']), false, 'the first address is only what an unknown client claims')
  assert.equal(await isVip(['203.0.113.7, unknown']), false, 'what is no address ends the chain')
  for (const nonsense of ['face', '1.2.3.4.5', '999.1.1.1', '_hidden', '[::1', ':']) {
    const { seen } = await exchange(t, [`X-Forwarded-For: ${nonsense}, 10.1.1.1`], { listener: 'trusting', target: '/who' })
    assert.equal(seen.get('x-client'), '10.1.1.1', nonsense)
  }
  assert.equal(await isVip(['203.0.113.7, ']), false)
  assert.equal(await isVip(['203.0.113.7'], 'web'), false, 'nobody is trusted here')
})

test('IPv6 clients: bare in X-Forwarded-For, quoted in Forwarded', async (t) => {
  const { seen } = await exchange(t, [], { listener: 'six', host: '[::1]:80' })
  assert.equal(seen.get('x-forwarded-for'), '::1')
  assert.equal(seen.get('forwarded'), 'for="[::1]";proto=http;host="[::1]:80"')
})

test('Host: preserved, the endpoint, or a given name', async (t) => {
  assert.deepEqual((await exchange(t, [])).seen.all('host'), ['example.com'])
  const endpoint = (await exchange(t, [], { target: '/endpoint' })).seen
  assert.deepEqual(endpoint.all('host'), [upstream.address])
  assert.equal(endpoint.get('x-forwarded-host'), 'example.com')
  assert.deepEqual((await exchange(t, [], { target: '/literal' })).seen.all('host'), ['backend.internal:81'])
})

test('hop-by-hop fields end here, in both directions', async (t) => {
  upstream.answer = (_, connection) =>
    connection.write(
      'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Resp-Hop\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\n' +
        'X-Resp-Hop: 1\r\nX-Kept: 2\r\nTrailer: X\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
    )
  const { seen, response } = await exchange(t, [
    'Connection: keep-alive, X-Hop, x-OTHER ,',
    'X-Hop: 1',
    'X-Other: 1',
    'Keep-Alive: 300',
    'Proxy-Connection: keep-alive',
    'Proxy-Authorization: Basic eDp5',
    'Trailer: X',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
    'X-Kept: 2',
  ])
  const gone = [
    'connection',
    'keep-alive',
    'proxy-connection',
    'proxy-authorization',
    'proxy-authenticate',
    'trailer',
    'upgrade',
    'http2-settings',
    'x-hop',
    'x-other',
    'x-resp-hop',
  ]
  for (const name of gone) {
    assert.equal(seen.get(name), undefined, `request: ${name}`)
    assert.equal(response.get(name), undefined, `response: ${name}`)
  }
  assert.equal(seen.get('x-kept'), '2')
  assert.equal(response.get('x-kept'), '2')
  assert.deepEqual(response.all('set-cookie'), ['a=1', 'b=2'])
})

test('a client cannot strip what decides who it is or where its request goes by naming it in Connection', async (t) => {
  const { seen } = await exchange(t, [
    'Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, Forwarded, Via, Host, Authorization, Content-Length, Cookie, X-Request-Id',
    'Authorization: Bearer x',
    'Cookie: a=b',
    'Content-Length: 0',
  ])
  assert.equal(seen.get('x-forwarded-for'), '127.0.0.1')
  assert.equal(seen.get('authorization'), 'Bearer x')
  assert.equal(seen.get('cookie'), 'a=b')
  assert.equal(seen.get('host'), 'example.com')
  assert.equal(seen.get('content-length'), '0')
  assert.equal(seen.get('via'), '1.1 sluice')
  assert.notEqual(seen.get('x-request-id'), undefined)
})

test('X-Request-Id: made here, the same on both sides, and never taken from a stranger or the upstream', async (t) => {
  upstream.answer = (_, connection) => connection.write('HTTP/1.1 200 OK\r\nX-Request-Id: of-the-upstream\r\nContent-Length: 0\r\n\r\n')
  const first = await exchange(t, ['X-Request-Id: of-the-client'])
  const id = first.seen.get('x-request-id')!
  assert.match(id, /^[0-9a-z-]{10,}$/)
  assert.deepEqual(first.seen.all('x-request-id'), [id])
  assert.deepEqual(first.response.all('x-request-id'), [id])
  assert.notEqual((await exchange(t, [])).seen.get('x-request-id'), id)
  const off = await exchange(t, ['X-Request-Id: of-the-client'], { listener: 'none' })
  assert.equal(off.seen.get('x-request-id'), 'of-the-client')
  const long = await exchange(t, [`X-Request-Id: ${'x'.repeat(200)}`], { listener: 'trusting' })
  assert.notEqual(long.seen.get('x-request-id'), 'x'.repeat(200))
})

test('everything else goes through as it came: order, case, repetition, odd values', async (t) => {
  const fields = [
    'x-LOWER: a',
    'X-Twice: 1',
    'X-Between: 2',
    'X-Twice: 3',
    'X-Empty:',
    'X-Spaces:   a  b  ',
    'X-Bytes: caf\xe9',
    'Accept-Encoding: gzip, br',
    "X-!#$%&'*+.^`|~: x",
  ]
  const { seen } = await exchange(t, fields)
  const names = new Set(fields.map((line) => line.slice(0, line.indexOf(':')).toLowerCase()))
  const kept = seen.fields.filter(([name]) => names.has(name.toLowerCase())).map(([name, value]) => `${name}: ${value}`)
  assert.deepEqual(
    kept,
    fields.map((line) => {
      const colon = line.indexOf(':')
      return `${line.slice(0, colon)}: ${line.slice(colon + 1).trim()}`
    }),
  )
})

test('requests of one connection do not mix their fields', async (t) => {
  const client = await openClient(t, gateway.port())
  client.send(
    `${request('GET', '/1', ['X-One: 1', 'Cookie: secret=1'])}${request('GET', '/2', ['X-Two: 2'])}GET /3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`,
  )
  for (let i = 0; i < 3; i++) await client.response()
  const [one, two, three] = upstream.requests
  assert.equal(one!.get('x-one'), '1')
  assert.equal(two!.get('x-one') ?? two!.get('cookie'), undefined)
  assert.equal(two!.get('x-two'), '2')
  assert.equal(three!.get('via'), '1.0 sluice')
  assert.equal(three!.get('x-forwarded-host'), undefined)
})
