import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { test } from 'node:test'
import type { DestinationsConfig } from '../config/forward-types.ts'
import type { LookupCache } from '../upstream/connector.ts'
import { ProxyAuth } from './forward-auth.ts'
import { DestinationPolicy, parseDestination } from './forward-policy.ts'
import { type Refusal, resolveDestination } from './forward-route.ts'
import type { ForwardRuntime } from './forward-runtime.ts'

const ALL = { first: 1, last: 65_535 }

function createPolicy(config: Partial<DestinationsConfig> = {}): DestinationPolicy {
  return new DestinationPolicy({
    allowHosts: [],
    denyHosts: [],
    ports: [ALL],
    connectPorts: [ALL],
    allowPrivate: [],
    denyAddresses: [],
    ...config,
  })
}

test('addresses that are not of the Internet are refused, the others are not', () => {
  const policy = createPolicy()
  const refused = `
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 169.254.0.1 169.254.169.254
    172.16.0.0 172.31.255.255 192.0.0.1 192.0.2.1 192.168.0.0 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:a00:1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1
    100::1 2001::1 2001:db8::1 2002:7f00:1:: 3fff::1 fc00::1 fdff::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 5f00::1 ::ffff:169.254.169.254
  `
  for (const address of refused.trim().split(/\s+/)) assert.equal(policy.isAddressAllowed(address), false, address)
  const allowed =
    '1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.0.0 198.20.0.0 223.255.255.255 2001:200::1 2606:4700::1111 2a00::1 ::ffff:8.8.8.8'
  for (const address of allowed.split(' ')) assert.equal(policy.isAddressAllowed(address), true, address)
  for (const nonsense of ['', 'localhost', '127.1', '1.2.3.4.5', '010.0.0.1'])
    assert.equal(policy.isAddressAllowed(nonsense), false, nonsense)
})

test('private ranges can be allowed, and what is denied stays denied', () => {
  const policy = createPolicy({ allowPrivate: ['10.0.0.0/8', 'fd00::/8'], denyAddresses: ['10.0.0.5', '8.8.8.8'] })
  assert.equal(policy.isAddressAllowed('10.1.2.3'), true)
  assert.equal(policy.isAddressAllowed('fd12::1'), true)
  assert.equal(policy.isAddressAllowed('10.0.0.5'), false)
  assert.equal(policy.isAddressAllowed('::ffff:10.0.0.5'), false)
  assert.equal(policy.isAddressAllowed('8.8.8.8'), false)
  assert.equal(policy.isAddressAllowed('8.8.4.4'), true)
  assert.equal(policy.isAddressAllowed('127.0.0.1'), false)
})

test('hosts match as a whole, in any case, with the dot of a full name or without', () => {
  const policy = createPolicy({ allowHosts: ['example.com', '*.example.org', '[2606:4700::1111]'], denyHosts: ['secret.example.org'] })
  const isRefused = (authority: string) => {
    const destination = parseDestination(authority, 80)
    assert.ok(destination !== null, authority)
    return policy.refuses(destination, false) !== null
  }
  for (const host of ['example.com', 'EXAMPLE.com.', 'a.example.org', 'a.b.example.org', '[2606:4700::1111]'])
    assert.equal(isRefused(host), false, host)
  for (const host of [
    'example.com.evil.test',
    'notexample.com',
    'example.org',
    'www.example.com',
    'Secret.Example.org.',
    '1.1.1.1',
    '[::1]',
  ])
    assert.equal(isRefused(host), true, host)
})

test('ports have rules of their own for CONNECT', () => {
  const policy = createPolicy({
    ports: [
      { first: 80, last: 80 },
      { first: 8000, last: 8080 },
    ],
    connectPorts: [{ first: 443, last: 443 }],
  })
  const isRefused = (port: number, isConnect: boolean) => policy.refuses({ host: 'example.com', port }, isConnect) !== null
  assert.deepEqual(
    [79, 80, 81, 7999, 8000, 8080, 8081, 443].map((port) => isRefused(port, false)),
    [true, false, true, true, false, false, true, true],
  )
  assert.deepEqual(
    [80, 443, 444].map((port) => isRefused(port, true)),
    [true, false, true],
  )
})

test('what is no host and port is no destination', () => {
  assert.deepEqual(parseDestination('Example.com:8080', 80), { host: 'example.com', port: 8080 })
  assert.deepEqual(parseDestination('example.com', 80), { host: 'example.com', port: 80 })
  assert.deepEqual(parseDestination('[FD00::1]:443', null), { host: 'fd00::1', port: 443 })
  for (const wrong of [
    '',
    'a',
    ':80',
    'a:',
    'a:0',
    'a:65536',
    'a:b',
    'a:1:2',
    '[::1]',
    '[x]:1',
    '[::1',
    'u@a:1',
    'a/b:1',
    'a b:1',
    '.:1',
    '[127.0.0.1]:1',
  ])
    assert.equal(parseDestination(wrong, null), null, wrong)
})

/** A resolver that answers each question with the next of these. */
function createRuntime(...answers: (string[] | Error)[]): { runtime: ForwardRuntime; asked: () => number } {
  let asked = 0
  const lookup = (_host: string, _options: object, callback: (error: Error | null, found: LookupAddress[]) => void) => {
    const answer = answers[asked++] as string[] | Error
    if (answer instanceof Error) callback(answer, [])
    else
      callback(
        null,
        answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )
  }
  const runtime = { policy: createPolicy(), lookups: { lookup } as unknown as LookupCache } as ForwardRuntime
  return { runtime, asked: () => asked }
}

function resolve(host: string, runtime: ForwardRuntime): { addresses: readonly string[]; refusal: Refusal | null } {
  let result: { addresses: readonly string[]; refusal: Refusal | null } | null = null
  resolveDestination({ host, port: 80 }, runtime, (addresses, refusal) => {
    result = { addresses, refusal }
  })
  assert.ok(result !== null)
  return result
}

test('a name is judged by what it resolves to, each time, and only judged addresses come out', () => {
  const { runtime, asked } = createRuntime(['93.184.216.34', '127.0.0.1', 'fd00::1'], ['127.0.0.1'], [], new Error('no such name'))
  assert.deepEqual(resolve('rebind.test', runtime), { addresses: ['93.184.216.34'], refusal: null })
  assert.equal(resolve('rebind.test', runtime).refusal?.code, 'destination_denied')
  assert.equal(resolve('empty.test', runtime).refusal?.code, 'connect_failed')
  assert.equal(resolve('missing.test', runtime).refusal?.code, 'connect_failed')
  assert.equal(asked(), 4)
  // Addresses are not looked up.
  assert.equal(resolve('127.0.0.1', runtime).refusal?.code, 'destination_denied')
  assert.deepEqual(resolve('1.1.1.1', runtime).addresses, ['1.1.1.1'])
  assert.equal(asked(), 4)
})

test('Basic credentials are those of one user, whole', () => {
  const auth = new ProxyAuth({ realm: 'r', passwords: { ada: 'p:w', Bob: 'ünï' } })
  const accepts = (text: string, scheme = 'Basic') => auth.accepts(`${scheme} ${Buffer.from(text).toString('base64')}`)
  for (const right of ['ada:p:w', 'Bob:ünï']) assert.equal(accepts(right), true, right)
  assert.equal(accepts('ada:p:w', 'bAsIc'), true)
  for (const wrong of ['ada:p:', 'ada:p:ww', 'ada', ':', '', 'ADA:p:w', 'Bob:p:w', 'ada:ünï']) assert.equal(accepts(wrong), false, wrong)
  assert.equal(accepts('ada:p:w', 'Bearer'), false)
  for (const header of [undefined, '', 'Basic', 'Basic ', 'Basic !!!', 'Basic YWRhOnA6dw== x'])
    assert.equal(auth.accepts(header), false, header)
  assert.equal(auth.challenge, 'Basic realm="r", charset="UTF-8"')
})
