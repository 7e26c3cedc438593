// What the tests of custom filters share.
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import type { FilterFunction } from '../config/filter-api.ts'
import { createCustomFilter } from './custom.ts'
import { Driver, type RequestOptions, settle } from './exchange.contract.ts'

export const GET = 'GET /users/7?a=1 HTTP/1.1\nHost: api.example.com:8080\nX-A: 1'
export const POST = 'POST /users HTTP/1.1\nHost: api.example.com'

type DriverOptions = RequestOptions & { params?: Record<string, string>; answer?: string }

const lateDefects = new WeakMap<Driver, { error: unknown; where: string }[]>()

/** An exchange that is driven through these functions. */
export function drive(fns: FilterFunction | FilterFunction[], head = GET, options: DriverOptions = {}): Driver {
  const late: { error: unknown; where: string }[] = []
  const env = { onDefect: (error: unknown, where: string) => late.push({ error, where }) }
  const list = Array.isArray(fns) ? fns : [fns]
  const driver = new Driver(
    list.map((fn, i) => createCustomFilter(`f${i}`, fn, env)),
    head,
    options,
  )
  lateDefects.set(driver, late)
  return driver
}

/** What filters did wrong when nobody could be answered any more. */
export function late(driver: Driver): string[] {
  return (lateDefects.get(driver) ?? []).map(({ error, where }) => `${where}: ${(error as Error).message}`)
}

/** What the proxy was told of. */
export function defects(driver: Driver): string[] {
  return driver.defects.map(({ error }) => (error as Error).message)
}

/** Whatever a function does: no test of this file may leave an unhandled rejection behind. */
export function watchRejections(): void {
  const unhandled: unknown[] = []
  const onUnhandled = (reason: unknown) => unhandled.push(reason)
  before(() => process.on('unhandledRejection', onUnhandled))
  after(async () => {
    await settle()
    process.off('unhandledRejection', onUnhandled)
    assert.deepEqual(unhandled, [], 'a test left an unhandled rejection')
  })
}
