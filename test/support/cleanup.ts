/**
 * Who ends what a helper started: a test context (`t`), or `{ after }` from node:test for what a whole file shares. Helpers register
 * with it themselves, so a failing test leaves nothing behind.
 */
export interface CleanupScope {
  after(fn: () => void | Promise<void>): void
}
