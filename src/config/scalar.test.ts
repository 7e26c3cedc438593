import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isLoopback,
  MAX_DURATION_MS,
  type Parsed,
  parseAddressRange,
  parseDuration,
  parseEndpointAddress,
  parseHeaderName,
  parseHeaderValue,
  parseHostPattern,
  parseListenAddress,
  parseMethod,
  parsePattern,
  parseSize,
  patternGroups,
} from './scalar.ts'

/** The value, or `null` with the problem checked to be a sentence. */
function parsedValue<T>(parsed: Parsed<T>): T | null {
  if ('value' in parsed) return parsed.value
  assert.match(parsed.problem, /^(expected|has) /)
  return null
}

test('durations have a unit, except 0', () => {
  for (const [text, ms] of [
    ['250ms', 250],
    ['5s', 5000],
    ['1.5m', 90_000],
    ['1h', 3_600_000],
    ['0s', 0],
    ['576h', MAX_DURATION_MS],
    [0, 0],
  ] as const) {
    assert.equal(parsedValue(parseDuration(text)), ms)
  }
  for (const wrong of [
    '',
    '5',
    's',
    '5 s',
    '-5s',
    '+5s',
    '5S',
    '1h30m',
    '577h',
    '0.1ms',
    '.5s',
    '1e3s',
    5,
    -0.5,
    Number.NaN,
    null,
    true,
    [],
  ]) {
    assert.equal(parsedValue(parseDuration(wrong)), null, String(wrong))
  }
})

test('the longest duration fits a 32-bit timer', () => assert.ok(MAX_DURATION_MS < 2 ** 31))

test('sizes count in 1024 with an i and in 1000 without', () => {
  for (const [text, bytes] of [
    ['64KiB', 65_536],
    ['10KB', 10_000],
    ['1MiB', 1_048_576],
    ['1.5GiB', 1_610_612_736],
    ['7B', 7],
    [0, 0],
    [123, 123],
  ] as const) {
    assert.equal(parsedValue(parseSize(text)), bytes)
  }
  for (const wrong of ['', '5', '5kb', '5 KB', '-1KB', '0.3B', -1, 1.5, Number.POSITIVE_INFINITY, '99999999GiB', null, {}]) {
    assert.equal(parsedValue(parseSize(wrong)), null, String(wrong))
  }
})

test('an address to listen on has a port and, if any, a valid host', () => {
  assert.deepEqual(parsedValue(parseListenAddress(':8080')), { host: '', port: 8080 })
  assert.deepEqual(parsedValue(parseListenAddress('[0:0::1]:0')), { host: '::1', port: 0 })
  assert.deepEqual(parsedValue(parseListenAddress('LocalHost:80')), { host: 'localhost', port: 80 })
  for (const wrong of [
    '8080',
    ':65536',
    ':',
    '',
    '::1:80',
    '[::1%eth0]:80',
    '[1.2.3.4]:80',
    '1.2.3:80',
    'a b:80',
    '-a:80',
    ':8080 ',
    '/tmp/x:1',
  ]) {
    assert.equal(parsedValue(parseListenAddress(wrong)), null, wrong)
  }
})

test('an endpoint has one spelling whatever way it is written', () => {
  assert.deepEqual(parsedValue(parseEndpointAddress('Users.Internal:80')), {
    address: 'users.internal:80',
    host: 'users.internal',
    port: 80,
  })
  assert.deepEqual(parsedValue(parseEndpointAddress('[0:0::0001]:9001')), { address: '[::1]:9001', host: '::1', port: 9001 })
  assert.equal(parsedValue(parseEndpointAddress('127.0.0.1:09001'))?.address, '127.0.0.1:9001')
  for (const wrong of ['http://a:80', ':80', 'a', 'a:0', 'a:', 'a:99999', '256.1.1.1:80', 'a..b:80']) {
    assert.equal(parsedValue(parseEndpointAddress(wrong)), null, wrong)
  }
})

test('host patterns are lower case, without port, with a star only in front', () => {
  assert.equal(parsedValue(parseHostPattern('API.Example.com.')), 'api.example.com')
  assert.equal(parsedValue(parseHostPattern('*.example.com')), '*.example.com')
  assert.equal(parsedValue(parseHostPattern('10.0.0.1')), '10.0.0.1')
  assert.equal(parsedValue(parseHostPattern('[0::1]')), '[::1]')
  for (const wrong of ['', '*', '*.', 'a.*', '**.a', '*.10.0.0.1', 'a:80', '[::1]:80', '[::1', 'a b', 'é.com', `${'a'.repeat(64)}.com`]) {
    assert.equal(parsedValue(parseHostPattern(wrong)), null, wrong)
  }
})

test('address ranges are IPv4 or IPv6 with a length that fits', () => {
  for (const right of ['10.0.0.1', '10.0.0.0/8', 'fd00::/8', '::1', '0.0.0.0/0']) assert.equal(parsedValue(parseAddressRange(right)), right)
  for (const wrong of ['', '10.0.0', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', 'fe80::1%eth0', 'a']) {
    assert.equal(parsedValue(parseAddressRange(wrong)), null, wrong)
  }
})

test('header names are tokens in lower case', () => {
  assert.equal(parsedValue(parseHeaderName('X-Gw')), 'x-gw')
  for (const wrong of ['', 'a b', 'a:', 'é', 'a\r\n']) assert.equal(parsedValue(parseHeaderName(wrong)), null)
})

test('header values are one line of Latin-1, and the message never repeats them', () => {
  assert.equal(parsedValue(parseHeaderValue('a\tb é')), 'a\tb é')
  assert.equal(parsedValue(parseHeaderValue('')), '')
  for (const wrong of ['secret\r\nx: y', 'secret\n', 'secret\0', ' secret', 'secret ', 'secret\u20ac', 'secret\u007f']) {
    const parsed = parseHeaderValue(wrong)
    assert.ok('problem' in parsed && !parsed.problem.includes('secret') && !parsed.problem.startsWith('expected'))
  }
})

test('methods are tokens in upper case', () => {
  assert.equal(parsedValue(parseMethod('M-SEARCH')), 'M-SEARCH')
  for (const wrong of ['', 'get', 'G T', 'GET\n']) assert.equal(parsedValue(parseMethod(wrong)), null)
})

test('patterns must compile, and say why when they do not', () => {
  assert.equal(parsedValue(parsePattern('^/a$')), '^/a$')
  assert.deepEqual(parsePattern('(a'), { problem: 'expected a regular expression, but it does not compile: Unterminated group' })
})

test('the groups of a pattern are counted without running it', () => {
  assert.deepEqual(patternGroups('^(a)(?:b)(?<name>c)|d'), { count: 2, names: ['name'] })
  assert.deepEqual(patternGroups(''), { count: 0, names: [] })
})

test('loopback is this machine only', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) assert.ok(isLoopback(host))
  for (const host of ['', '0.0.0.0', '::', '10.0.0.1', '127.example.com']) assert.ok(!isLoopback(host))
})
