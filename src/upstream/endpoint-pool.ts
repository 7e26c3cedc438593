import type { Attempt } from '../exchange/exchange.ts'

/**
 * The connections of one worker to one endpoint, whatever they speak. An attempt that waits here is taken out through
 * `attempt.waiting.cancel`.
 */
export interface EndpointPool {
  /**
   * Sends the attempt as soon as there is a connection for it. Every way ends in an UpstreamEvents call: possibly before this returns.
   * `fresh` asks for a connection that has not stood idle (one that had stood idle has died under this request).
   */
  acquire(attempt: Attempt, fresh: boolean): void
  /** No new connections are kept; idle ones close now, busy ones after their responses. */
  close(): void
}
