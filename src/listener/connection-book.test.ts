import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedCounts } from '../base/shared-counts.ts'
import { TimerWheel } from '../base/timers.ts'
import { ConnectionBook, type ConnectionMetrics, type OpenConnection } from './connection-book.ts'

class FakeConnection implements OpenConnection {
  readonly remoteAddress: string
  ends: string[] = []

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress
  }

  drain(): void {
    this.ends.push('drain')
  }

  destroy(): void {
    this.ends.push('destroy')
  }
}

function createMetrics() {
  const counted = { open: 0, accepted: 0 }
  const counter = (name: keyof typeof counted) => ({
    add(amount: number) {
      counted[name] += amount
    },
  })
  const metrics = { connectionsOpen: counter('open'), connectionsAccepted: counter('accepted') } as unknown as ConnectionMetrics
  return { counted, metrics }
}

function createBook() {
  const clock = { nowMs: 1000, now: () => clock.nowMs, wallClock: () => 0 }
  const wheel = new TimerWheel(clock, { automatic: false })
  const { counted, metrics } = createMetrics()
  const connections = SharedCounts.create(2, 2)
  const book = new ConnectionBook<FakeConnection>({ metrics, connections, row: 1, worker: 0, workers: 2, wheel })
  return { book, clock, wheel, counted, connections }
}

test('connections are counted over all workers, per client and in the metrics; a phase that follows another counts as the same', () => {
  const { book, counted, connections } = createBook()
  const [a, b] = [new FakeConnection('1.1.1.1'), new FakeConnection('1.1.1.1')]
  book.add(a)
  assert.equal(book.isFullFor('1.1.1.1', 4), false)
  book.add(b)
  // Half of four for each of two workers.
  assert.equal(book.isFullFor('1.1.1.1', 4), true)
  assert.equal(book.isFullFor('2.2.2.2', 4), false)
  assert.equal(book.isFullFor('1.1.1.1', 0), false)
  assert.deepEqual(counted, { open: 2, accepted: 2 })
  connections.add(1, 1, 3)
  assert.deepEqual([book.isFull(6), book.isFull(5)], [false, true])
  const later = new FakeConnection('1.1.1.1')
  book.replace(a, later)
  assert.deepEqual([book.size, [...book].includes(later), [...book].includes(a)], [2, true, false])
  book.remove(a)
  assert.equal(book.size, 2)
  book.remove(later)
  book.remove(later)
  assert.deepEqual([book.size, counted.open, connections.total(1), book.isFullFor('1.1.1.1', 4)], [1, 1, 4, false])
  const other = createMetrics()
  book.use(other.metrics)
  assert.deepEqual([counted.open, other.counted.open], [0, 1])
})

test('waiting for the end is over with the last connection, or when the time is', async () => {
  const { book, clock, wheel } = createBook()
  await book.untilEmpty(0)
  const [a, b] = [new FakeConnection('1.1.1.1'), new FakeConnection('2.2.2.2')]
  book.add(a)
  book.add(b)
  let isOver = false
  const first = book.untilEmpty(2000).then(() => {
    isOver = true
  })
  book.drainAll()
  book.remove(a)
  await Promise.resolve()
  assert.equal(isOver, false)
  clock.nowMs = 2100
  wheel.tick()
  await first
  book.destroyAll()
  assert.deepEqual([a.ends, b.ends], [['drain'], ['drain', 'destroy']])
  const second = book.untilEmpty(9000)
  book.remove(b)
  await second
  assert.equal(wheel.size, 0)
})
