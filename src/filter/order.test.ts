import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FilterConfig, FunctionRef } from '../config/types.ts'
import { createSharedTable, SharedTable } from '../limit/shared-table.ts'
import { createFilters, type FilterEnvironment } from './order.ts'

const NONE = { set: {}, add: {}, remove: [] }
const REF: FunctionRef = { kind: 'function', path: ['routes', 'users', 'filters', 0], name: 'auth' }

function env(fn: unknown): FilterEnvironment {
  const table = new SharedTable(createSharedTable({ ratePerSecond: 1, burst: 1 }, 0, () => 0.5))
  return { functions: () => fn, descriptors: () => '', reflect: async () => Buffer.alloc(0), onDefect() {}, rateLimit: () => table }
}

describe('the filters of a route', () => {
  it('are made in the order in which they are written', () => {
    const configs: FilterConfig[] = [
      { kind: 'strip-prefix', prefix: '/a' },
      { kind: 'custom', ref: REF },
      { kind: 'rewrite', from: 'a', to: 'b' },
      { kind: 'rewrite-prefix', prefix: '/a', to: '/b' },
      { kind: 'headers', request: { ...NONE, set: { a: 'b' } }, response: NONE },
      { kind: 'respond', respond: { status: 200, headers: {}, body: '' } },
    ]
    const filters = createFilters(
      configs,
      env(() => {}),
    )
    assert.deepEqual(
      filters?.map((filter) => filter.name),
      ['strip-prefix', 'custom auth', 'rewrite', 'rewrite', 'headers', 'respond'],
    )
  })

  it('are null when there are none, or none that does anything', () => {
    assert.equal(createFilters([], env(undefined)), null)
    assert.equal(createFilters([{ kind: 'headers', request: NONE, response: NONE }], env(undefined)), null)
  })

  it('say which of them cannot be made', () => {
    const configs: FilterConfig[] = [
      { kind: 'strip-prefix', prefix: '/a' },
      { kind: 'custom', ref: REF },
    ]
    assert.throws(
      () => createFilters(configs, env(undefined)),
      /^Error: filter 2 \(custom\): the configuration no longer has the function auth/,
    )
  })
})
