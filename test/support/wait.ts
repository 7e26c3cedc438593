import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Polls until `check` gives something other than false, null or undefined, and returns that. Throws after `timeoutMs`: 30 s, far more than
 * anything takes on a quiet machine. A limit that a test is about belongs on what it measures, not here.
 */
export async function waitFor<T>(
  what: string,
  check: () => T | Promise<T>,
  { timeoutMs = 30_000, everyMs = 20 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const result = await check()
    if (result !== false && result !== null && result !== undefined) return result as NonNullable<Exclude<T, false>>
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await sleep(everyMs)
  }
}
