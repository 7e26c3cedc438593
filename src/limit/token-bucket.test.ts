import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSharedArea } from '../base/shared-area.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { TOKEN_BUCKET_WORDS, TokenBucket } from './token-bucket.ts'

const T = 1_700_000_000_000

function setUp(ratePerSecond: number, burst: number, originMs = T) {
  return new TokenBucket(createSharedArea(TOKEN_BUCKET_WORDS), { ratePerSecond, burst, originMs })
}

describe('a token bucket', () => {
  it('gives the values of the notes for rate 1 and burst 6: ten rounds of Wait (2 s at most), Reserve, Allow', () => {
    const bucket = setUp(1, 6)
    let now = T
    const rounds: [wait: number, delay: number, allowed: boolean][] = []
    for (let i = 0; i < 10; i++) {
      const wait = bucket.reserveWithin(now, 1, 2000)
      if (wait > 0) now += wait
      const delay = bucket.reserve(now)
      rounds.push([wait, delay, bucket.take(now)])
    }
    assert.deepEqual(rounds.slice(0, 5), [
      [0, 0, true],
      [0, 0, true],
      [1000, 1000, false],
      // The third wait is exactly as long as allowed, and then the debt is one second.
      [2000, 1000, false],
      [2000, 1000, false],
    ])
    assert(rounds.slice(2).every(([, , allowed]) => !allowed))
  })

  it('fails a Wait at once that would take too long, and goes deeper into debt with each Reserve', () => {
    const bucket = setUp(1, 6)
    const now = T + 1234.5
    for (let i = 0; i < 6; i++) assert(bucket.take(now))
    const delays: number[] = []
    for (let i = 0; i < 5; i++) {
      delays.push(Math.round(bucket.reserve(now)))
      if (i >= 1) assert.equal(bucket.reserveWithin(now, 1, 2000), -1)
    }
    assert.deepEqual(delays, [1000, 2000, 3000, 4000, 5000])
  })

  it('waits -tokens / rate, with tokens = min(burst, tokens + elapsed * rate) - n', () => {
    const event = fc.record({ n: fc.integer({ min: 1, max: 5 }), waitMs: fc.nat(3000) })
    const bucketOf = fc.record({ rate: fc.constantFrom(0.5, 1, 3, 10, 1000), burst: fc.integer({ min: 5, max: 40 }) })
    const property = fc.property(bucketOf, fc.array(event, { minLength: 30, maxLength: 60 }), ({ rate, burst }, events) => {
      const bucket = setUp(rate, burst)
      let tokens = burst
      let now = T
      for (const { n, waitMs } of events) {
        now += waitMs
        tokens = Math.min(burst, tokens + (waitMs * rate) / 1000) - n
        const expected = Math.max(0, (-tokens / rate) * 1000)
        const found = bucket.reserve(now, n)
        // A tick, a 4096th of the time of a token, for each reading of the clock in debt.
        assert(Math.abs(found - expected) <= 1000 / rate / 4096 + 1e-3, `${found} for ${expected}`)
      }
    })
    fc.assert(property, { numRuns: repeat(2000), seed: 13 })
  })

  it('never gives more than burst + rate * time, nor less than is there', () => {
    const bucketOf = fc.record({ rate: fc.constantFrom(0.001, 1, 7, 100, 12_345, 1e6), burst: fc.constantFrom(1, 2, 300, 100_000) })
    const waits = fc.array(fc.double({ min: 0, max: 50, noNaN: true }), { minLength: 100, maxLength: 200 })
    const property = fc.property(bucketOf, waits, ({ rate, burst }, gaps) => {
      const bucket = setUp(rate, burst)
      let now = T
      let tokens: number = burst
      let elapsedMs = 0
      let given = 0
      for (const gap of gaps) {
        now += gap
        elapsedMs = now - T
        tokens = Math.min(burst, tokens + (gap * rate) / 1000)
        const isAllowed = bucket.take(now)
        if (isAllowed) given++
        // Near one token the rounding decides: of a tick, and of the clock, whose last digit is a quarter of a microsecond.
        if (Math.abs(tokens - 1) > 0.01 + rate * 2.5e-7) assert.equal(isAllowed, tokens > 1, `${tokens} tokens at rate ${rate}`)
        if (isAllowed) tokens = Math.max(0, tokens - 1)
        assert(given <= burst + (elapsedMs * rate) / 1000 + 0.01 + rate * 2.5e-7)
      }
    })
    fc.assert(property, { numRuns: repeat(700), seed: 14 })
  })

  it('says what is left, when to come again and when it is full', () => {
    const bucket = setUp(10, 5)
    bucket.take(T)
    assert.deepEqual({ ...bucket.result }, { allowed: true, remaining: 4, retryAfterMs: 0, resetMs: 100 })
    bucket.take(T, 4)
    assert.deepEqual({ ...bucket.result }, { allowed: true, remaining: 0, retryAfterMs: 0, resetMs: 500 })
    bucket.take(T, 2)
    assert.deepEqual({ ...bucket.result }, { allowed: false, remaining: 0, retryAfterMs: 200, resetMs: 500 })
    bucket.take(T, 6)
    assert.equal(bucket.result.retryAfterMs, Number.POSITIVE_INFINITY)
    assert.equal(bucket.reserve(T, 6), -1)
  })

  it('knows after any time of rest, when the 32 bits have come round many times, that it is full', () => {
    for (const rate of [1e6, 1000, 100, 1, 20 / 86_400]) {
      for (const burst of [1, 300, 1_000_000]) {
        for (let exponent = 0; exponent < 37; exponent += 0.5) {
          const bucket = setUp(rate, burst, 0)
          for (let i = 0; i < Math.min(burst, 300); i++) assert(bucket.take(5))
          const restMs = 2 ** exponent
          const tokens = Math.min(burst, burst - Math.min(burst, 300) + (restMs * rate) / 1000)
          bucket.take(5 + restMs)
          const found = bucket.result.allowed ? bucket.result.remaining + 1 : 0
          assert(Math.abs(found - Math.floor(tokens)) <= 1, `rate ${rate}, burst ${burst}, ${restMs} ms: ${found} for ${tokens}`)
        }
      }
    }
  })

  it('is not taken for rested while it is in use without a pause', () => {
    const bucket = setUp(1_000_000, 1000)
    let given = 0
    for (let step = 0; step < 6000; step++) while (bucket.take(T + step / 10)) given++
    assert(given <= 1000 + 599_900 + 1 && given > 600_000, `${given}`)
  })

  it('keeps a long debt and a refusal apart from a long rest', () => {
    // A token a day, refused every hour: the bucket fills all the same, and not before its time.
    const bucket = setUp(1 / 86_400, 2)
    const hourMs = 3_600_000
    assert(bucket.take(T))
    assert(bucket.take(T))
    const allowedAt: number[] = []
    for (let hour = 1; hour <= 96; hour++) if (bucket.take(T + hour * hourMs)) allowedAt.push(hour)
    assert.deepEqual(allowedAt, [24, 48, 72, 96])
  })

  it('takes a clock that was read a little earlier for no reason to be generous', () => {
    const bucket = setUp(100, 3)
    assert(bucket.take(T + 10))
    assert(bucket.take(T + 5))
    assert(bucket.take(T + 10))
    assert(!bucket.take(T + 10))
    assert(!bucket.take(T))
    assert(!bucket.take(T - 1000))
  })

  it('refuses a rate or a burst that means nothing', () => {
    for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(() => setUp(rate, 1), RangeError)
    for (const burst of [0, 1.5, 2 ** 29]) assert.throws(() => setUp(1, burst), RangeError)
  })
})
