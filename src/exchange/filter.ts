import type { Exchange } from './exchange.ts'

/**
 * One step around an exchange. Filters form an onion: `onRequest` runs in the order of the route's list, `onResponse` in reverse
 * for those whose `onRequest` has run. Built once per route at configuration time. Return a promise only when there is something
 * to wait for.
 */
export interface Filter {
  readonly name: string
  /** May change the request, or answer it with `x.respond`: then neither later filters nor the upstream see it. */
  onRequest: ((x: Exchange) => void | Promise<void>) | null
  /** May change the response head before it is sent, or replace the response with `x.respond`. */
  onResponse: ((x: Exchange) => void | Promise<void>) | null
  /** The exchange is over, however it ended. For filters that hold something per exchange. */
  onFinish: ((x: Exchange) => void) | null
}
