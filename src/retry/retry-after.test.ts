import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom } from '../base/clock.ts'
import { RETRY_BACKOFF_DEFAULTS, retryDelayMs } from './backoff.ts'
import { DO_NOT_RETRY, NO_DELAY, parseHttpDateMs, parsePushbackMs, parseRetryAfterMs } from './retry-after.ts'

const NOW = Date.UTC(2026, 10, 21, 7, 28, 0)

describe('an HTTP date', () => {
  it('is read in all three forms', () => {
    const expected = Date.UTC(1994, 10, 6, 8, 49, 37)
    for (const value of ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994']) {
      assert.equal(parseHttpDateMs(value, NOW), expected, value)
    }
  })

  it('with two digits for the year lies at most 50 years ahead', () => {
    assert.equal(new Date(parseHttpDateMs('Sunday, 06-Nov-76 08:49:37 GMT', NOW)).getUTCFullYear(), 2076)
    assert.equal(new Date(parseHttpDateMs('Sunday, 06-Nov-77 08:49:37 GMT', NOW)).getUTCFullYear(), 1977)
  })

  it('is nothing else', () => {
    const wrong = [
      '',
      'Sun, 06 Nov 1994 08:49:37',
      'Sun, 6 Nov 1994 08:49:37 GMT',
      'Sun, 31 Feb 2026 08:49:37 GMT',
      'Sun, 06 Nov 1994 24:00:00 GMT',
    ]
    for (const value of [...wrong, 'Sun, 06 Anf 1994 08:49:37 GMT', '2026-11-21T07:28:00Z', 'Sun, 06 Nov 1994 08:49:37 CET']) {
      assert(Number.isNaN(parseHttpDateMs(value, NOW)), value)
    }
  })

  it('is what Date prints', () => {
    const property = fc.property(fc.date({ min: new Date(0), max: new Date('2099-12-31'), noInvalidDate: true }), (date) => {
      assert.equal(parseHttpDateMs(date.toUTCString(), NOW), Math.floor(date.getTime() / 1000) * 1000)
    })
    fc.assert(property, { numRuns: 3000, seed: 10 })
  })
})

describe('Retry-After', () => {
  it('is seconds or a date, never negative, and capped', () => {
    assert.equal(parseRetryAfterMs('0', NOW), 0)
    assert.equal(parseRetryAfterMs('120', NOW), 120_000)
    assert.equal(parseRetryAfterMs('120', NOW, 5000), 5000)
    assert.equal(parseRetryAfterMs('99999999999999999999', NOW), 2 ** 31)
    assert.equal(parseRetryAfterMs('Sat, 21 Nov 2026 07:28:03 GMT', NOW), 3000)
    assert.equal(parseRetryAfterMs('Sat, 21 Nov 2026 07:27:00 GMT', NOW), 0)
    for (const value of ['', '-1', '1.5', ' 1', '1s', 'soon']) assert.equal(parseRetryAfterMs(value, NOW), NO_DELAY, value)
  })

  it('of gRPC forbids retries when it is negative or cannot be read', () => {
    assert.equal(parsePushbackMs('0'), 0)
    assert.equal(parsePushbackMs('250'), 250)
    for (const value of ['-1', '', 'x', '1.5', '99999999999']) assert.equal(parsePushbackMs(value), DO_NOT_RETRY, value)
  })
})

describe('the wait before a retry', () => {
  it('is below 25 ms at first and below 250 ms always', () => {
    const random = createSeededRandom(3)
    for (let i = 0; i < 1000; i++) {
      assert(retryDelayMs(RETRY_BACKOFF_DEFAULTS, 1, NO_DELAY, false, random) < 25)
      assert(retryDelayMs(RETRY_BACKOFF_DEFAULTS, 9, NO_DELAY, false, random) < 250)
    }
  })

  it('is never shorter than the server asked for, and exact for push-back', () => {
    const random = createSeededRandom(4)
    for (let i = 0; i < 1000; i++) {
      const wait = retryDelayMs(RETRY_BACKOFF_DEFAULTS, 1, 1000, false, random)
      assert(wait >= 1000 && wait < 1500)
    }
    assert.equal(retryDelayMs(RETRY_BACKOFF_DEFAULTS, 1, 1000, true, random), 1000)
  })
})
