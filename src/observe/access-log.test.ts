import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ACCESS_LOG_FIELDS, type AccessEntry, compileAccessLog } from './access-log.ts'
import { escapeText } from './escape.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

const ENTRY: AccessEntry = {
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
  listener: 'web',
  route: 'users',
  service: 'users',
  endpoint: '10.0.0.1:9001',
  clientIp: '192.0.2.7',
  method: 'GET',
  host: 'api.example.com',
  path: '/users/1',
  query: 'full=1',
  protocol: 'HTTP/1.1',
  status: 200,
  requestBytes: 0,
  responseBytes: 512,
  durationMs: 1.2345,
  upstreamDurationMs: 0.9,
  attempts: 1,
  requestId: 'abc-1',
  userAgent: 'curl/8.0',
  referer: '',
  errorCode: '',
  flags: '',
}

const STRING_FIELDS = Object.keys(ENTRY).filter((key) => typeof ENTRY[key as keyof AccessEntry] === 'string') as (keyof AccessEntry)[]

describe('access log in JSON', () => {
  const format = compileAccessLog('json')

  it('is one JSON object with every field', () => {
    const { timeMs: _, ...rest } = ENTRY
    assert.deepEqual(JSON.parse(format(ENTRY)), { ...rest, time: '2026-01-02T03:04:05.067Z', durationMs: 1.235 })
  })

  it('has null for a duration that does not exist', () => {
    assert.equal((JSON.parse(format({ ...ENTRY, upstreamDurationMs: -1 })) as Record<string, unknown>)['upstreamDurationMs'], null)
  })

  it('gives back every UTF-16 unit in every string field', () => {
    let all = ''
    for (let unit = 0; unit < 0x10000; unit++) all += String.fromCharCode(unit)
    for (const field of STRING_FIELDS) {
      const line = format({ ...ENTRY, [field]: all })
      // Through bytes, as in the file: half a surrogate pair would not survive them unescaped.
      const read = Buffer.from(line, 'utf8').toString('utf8')
      assert.equal((JSON.parse(read) as Record<string, unknown>)[field], all, field)
      assert.doesNotMatch(line, CONTROL, field)
    }
  })

  it('gets the milliseconds and the second right around their edges', () => {
    const times = [0, 999, 1000, 1001.9, 59_999.999, 60_000, 1_700_000_000_123]
    for (const timeMs of times) {
      const parsed = JSON.parse(format({ ...ENTRY, timeMs })) as Record<string, unknown>
      assert.equal(parsed['time'], new Date(Math.floor(timeMs)).toISOString())
    }
  })

  it('writes durations with microseconds, rounded', () => {
    const cases = [
      [0, '0.000'],
      [0.0004, '0.000'],
      [0.0005, '0.001'],
      [0.9996, '1.000'],
      [12.05, '12.050'],
      [123456.789, '123456.789'],
    ] as const
    for (const [durationMs, text] of cases) assert.ok(format({ ...ENTRY, durationMs }).includes(`"durationMs":${text},`), text)
  })
})

describe('access log in text', () => {
  const format = compileAccessLog('text')

  it('begins like the combined format', () => {
    assert.equal(
      format(ENTRY),
      '192.0.2.7 - - [2026-01-02T03:04:05.067Z] "GET /users/1?full=1 HTTP/1.1" 200 512 "-" "curl/8.0" ' +
        '1.235ms upstream=0.900ms route=users endpoint=10.0.0.1:9001 flags=- id="abc-1"',
    )
  })

  it('cannot be given a second line or a forged field by any string', () => {
    const attack = 'x" 200 0\r\n10.0.0.1 - - "GET /\u001b[2J\u009b\u2028'
    for (const field of STRING_FIELDS) {
      const line = format({ ...ENTRY, [field]: attack })
      assert.doesNotMatch(line, CONTROL, field)
      // Quotes that are not escaped: three quoted pieces and the request id, whatever the field holds.
      assert.equal(line.match(/(?<!\\)"/g)?.length, 8, field)
    }
  })
})

describe('access log from a template', () => {
  it('fills in the fields between the literal text', () => {
    const format = compileAccessLog('>${method} ${target} ${status}|${timeMs}|${errorCode}|${upstreamDurationMs}<')
    assert.equal(format(ENTRY), `>GET /users/1?full=1 200|${ENTRY.timeMs}|-|0.900<`)
    assert.equal(format({ ...ENTRY, query: '', upstreamDurationMs: -1 }), `>GET /users/1 200|${ENTRY.timeMs}|-|-<`)
  })

  it('knows every field it lists', () => {
    for (const field of ACCESS_LOG_FIELDS) assert.notEqual(compileAccessLog(`\${${field}}`)(ENTRY), '')
    for (const field of Object.keys(ENTRY)) assert.ok(ACCESS_LOG_FIELDS.includes(field), field)
  })

  it('refuses unknown fields, naming the known ones', () => {
    assert.throws(
      () => compileAccessLog('${method} ${stauts}'),
      (error: Error) => error.message.includes('unknown access log field "stauts"') && error.message.includes('status, requestBytes'),
    )
    assert.throws(() => compileAccessLog('${toString}'), /unknown access log field "toString"/)
    assert.throws(() => compileAccessLog('${}'), /unknown access log field ""/)
  })

  it('refuses an open brace, a template without fields and one with a line break', () => {
    assert.throws(() => compileAccessLog('${method'), /no closing brace/)
    assert.throws(() => compileAccessLog('jsn'), /"json", "text", or a template/)
    assert.throws(() => compileAccessLog('${method}\n'), /one line/)
  })

  it('shaped like JSON stays JSON, whatever the client sends', () => {
    const format = compileAccessLog('{"path":"${path}","agent":"${userAgent}"}')
    const path = '/"\\\n\u0000\u001b\u0085'
    assert.deepEqual(JSON.parse(format({ ...ENTRY, path, userAgent: '"}' })), { path, agent: '"}' })
  })
})

describe('escaping', () => {
  it('returns harmless text as it is', () => {
    for (const text of ['', 'plain', '/a/b?c=d', 'caf\u00e9 \u4f60']) assert.equal(escapeText(text), text)
  })
})
