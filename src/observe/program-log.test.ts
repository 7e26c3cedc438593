import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LogLevel } from './log.ts'
import { createProgramLog } from './program-log.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

function create(format: 'json' | 'text', options: { level?: LogLevel; color?: boolean } = {}) {
  const lines: string[] = []
  const log = createProgramLog({
    level: options.level ?? 'debug',
    format,
    write: (line) => lines.push(line),
    wallClock: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    color: options.color ?? false,
  })
  return { log, lines }
}

describe('program log in JSON', () => {
  it('writes level, time, message and fields as one line', () => {
    const { log, lines } = create('json')
    log.info('started', { workers: 2 })
    assert.equal(lines.length, 1)
    assert.ok(lines[0]?.endsWith('}\n'))
    assert.deepEqual(JSON.parse(lines[0]!), { level: 'info', time: '2026-01-02T03:04:05.678Z', message: 'started', workers: 2 })
  })

  it('leaves out what is below its level, and everything when silent', () => {
    const warn = create('json', { level: 'warn' })
    const silent = create('json', { level: 'silent' })
    for (const { log } of [warn, silent]) {
      log.debug('d')
      log.info('i')
      log.warn('w')
      log.error('e')
    }
    assert.deepEqual(
      warn.lines.map((line) => (JSON.parse(line) as { message: string }).message),
      ['w', 'e'],
    )
    assert.deepEqual(silent.lines, [])
  })

  it('never writes secrets', () => {
    const { log, lines } = create('json')
    log.error('connect to http://user:hunter2@host failed', { token: 'hunter2', headers: { authorization: 'Bearer hunter2' } })
    assert.doesNotMatch(lines[0]!, /hunter2/)
  })

  it('writes errors with stack, code and cause', () => {
    const { log, lines } = create('json')
    log.error('failed', { error: Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'EX' }) })
    const { error } = JSON.parse(lines[0]!) as { error: Record<string, unknown> }
    assert.equal(error['message'], 'outer')
    assert.equal(error['code'], 'EX')
    assert.match(String(error['stack']), /program-log\.test/)
    assert.equal((error['cause'] as Record<string, unknown>)['message'], 'inner')
  })

  it('has each key once, also when a field is named like one of its own', () => {
    const { log, lines } = create('json')
    log.info('real', { message: 'fake', level: 'fake', time: 'fake' })
    assert.equal(lines[0]?.match(/"message":/g)?.length, 1)
    const parsed = JSON.parse(lines[0]!) as Record<string, unknown>
    assert.deepEqual([parsed['message'], parsed['level'], parsed['message_']], ['real', 'info', 'fake'])
  })
})

describe('program log in text', () => {
  it('writes a line for people', () => {
    const { log, lines } = create('text')
    log.info('listening', { address: '127.0.0.1:8080', note: 'two words', list: [1] })
    assert.deepEqual(lines, ['03:04:05.678Z info  listening address=127.0.0.1:8080 note="two words" list=[1]\n'])
  })

  it('uses colour only when asked', () => {
    const { log, lines } = create('text', { color: true })
    log.warn('w')
    assert.equal(lines[0], '03:04:05.678Z \u001b[33mwarn \u001b[0m w\n')
    const plain = create('text')
    plain.log.warn('w')
    assert.ok(!plain.lines[0]?.includes('\u001b'))
  })

  it('cannot be given a second line or a terminal command', () => {
    const { log, lines } = create('text')
    const attack = 'a\r\nb\u001b[2J\u009b\u0085'
    log.info(attack, { [attack]: attack, nested: { [attack]: attack } })
    assert.doesNotMatch(lines[0]!.slice(0, -1), CONTROL)
  })

  it('shows the message of an error, and its stack when the line is an error', () => {
    const { log, lines } = create('text')
    log.warn('w', { error: new Error('no "luck"') })
    log.error('e', { error: new Error('no') })
    assert.equal(lines[0], '03:04:05.678Z warn  w error="no \\"luck\\""\n')
    assert.match(lines[1]!, /^03:04:05\.678Z error e error="no"\n( {4}at .*\n)+$/)
  })
})
