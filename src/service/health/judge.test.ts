import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Health } from '../endpoint-control.ts'
import { Judge } from './judge.ts'

/** The health after each check: `+` passed, `-` failed. */
function run(start: Health, checks: string, unhealthyAfter: number, healthyAfter: number): Health[] {
  const judge = new Judge(start)
  return [...checks].map((check) => {
    const before = judge.health
    assert.equal(judge.record(check === '+', { unhealthyAfter, healthyAfter }), judge.health !== before)
    return judge.health
  })
}

describe('a judge', () => {
  it('believes the first success of an endpoint that is not known, and no single failure', () => {
    assert.deepEqual(run('unknown', '+', 2, 3), ['healthy'])
    assert.deepEqual(run('unknown', '-+', 2, 1), ['unknown', 'healthy'])
    assert.deepEqual(run('unknown', '--', 2, 1), ['unknown', 'unhealthy'])
  })

  it('counts failures in a row only', () => {
    assert.deepEqual(run('healthy', '--+--+---', 3, 1).at(-2), 'healthy')
    assert.deepEqual(run('healthy', '--+--+---', 3, 1).at(-1), 'unhealthy')
  })

  it('wants as many successes in a row as configured to bring an endpoint back', () => {
    assert.deepEqual(run('unhealthy', '++-+++', 1, 3), ['unhealthy', 'unhealthy', 'unhealthy', 'unhealthy', 'unhealthy', 'healthy'])
    assert.deepEqual(run('unhealthy', '+', 1, 1), ['healthy'])
  })

  it('forgets what it counted, but not what it found, when the check becomes another', () => {
    const judge = new Judge('healthy')
    judge.record(false, { unhealthyAfter: 2, healthyAfter: 1 })
    judge.startOver()
    assert.equal(judge.record(false, { unhealthyAfter: 2, healthyAfter: 1 }), false)
    assert.equal(judge.health, 'healthy')
  })
})
