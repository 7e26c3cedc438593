import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { test } from 'node:test'
import { ManualClock } from '../base/clock.ts'
import { LookupCache, type Resolve } from './connector.ts'

interface Question {
  hostname: string
  answer: Parameters<Resolve>[1]
}

function createCache(): { cache: LookupCache; clock: ManualClock; questions: Question[] } {
  const clock = new ManualClock(1000)
  const questions: Question[] = []
  const cache = new LookupCache(clock, (hostname, answer) => questions.push({ hostname, answer }))
  return { cache, clock, questions }
}

/** Collects what a lookup of all addresses gives. */
function ask(cache: LookupCache, hostname: string): string[] {
  const results: string[] = []
  cache.lookup(hostname, { all: true }, (error, found) => {
    results.push(error === null ? (found as LookupAddress[]).map(({ address }) => address).join() : error.message)
  })
  return results
}

const found = (address: string): LookupAddress[] => [{ address, family: 4 }]

test('lookups of one name at the same time ask the resolver once, and all get the answer', () => {
  const { cache, questions } = createCache()
  const results = [ask(cache, 'a'), ask(cache, 'a'), ask(cache, 'b'), ask(cache, 'a')]
  assert.deepEqual(
    questions.map(({ hostname }) => hostname),
    ['a', 'b'],
  )
  questions[0]?.answer(null, found('1.1.1.1'))
  questions[1]?.answer(Object.assign(new Error('no b')), [])
  assert.deepEqual(results, [['1.1.1.1'], ['1.1.1.1'], ['no b'], ['1.1.1.1']])
})

test('an answer is believed for a while, and longer only when the resolver fails', () => {
  const { cache, clock, questions } = createCache()
  ask(cache, 'a')
  questions[0]?.answer(null, found('1.1.1.1'))
  assert.deepEqual(ask(cache, 'a'), ['1.1.1.1'])
  clock.advance(5000)
  const late = ask(cache, 'a')
  assert.equal(questions.length, 2)
  questions[1]?.answer(new Error('down'), [])
  assert.deepEqual(late, ['1.1.1.1'])
  const later = ask(cache, 'a')
  questions[2]?.answer(null, found('2.2.2.2'))
  assert.deepEqual(later, ['2.2.2.2'])
})

test('whoever wants one address gets the first', () => {
  const { cache, questions } = createCache()
  let result: unknown[] = []
  cache.lookup('a', {}, (...answer) => {
    result = answer
  })
  questions[0]?.answer(null, [...found('1.1.1.1'), ...found('2.2.2.2')])
  assert.deepEqual(result, [null, '1.1.1.1', 4])
})

test('names without end do not fill the memory', () => {
  const { cache, questions } = createCache()
  for (let i = 0; i < 10_001; i++) {
    ask(cache, `name-${i}`)
    questions[i]?.answer(null, found('1.1.1.1'))
  }
  assert.deepEqual(ask(cache, 'name-1'), ['1.1.1.1'])
  ask(cache, 'name-0')
  assert.equal(questions.length, 10_002)
})
