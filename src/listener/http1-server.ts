import type { TimerWheel } from '../base/timers.ts'
import type { Wire, WireBuffer } from '../base/wire.ts'
import type { DownstreamEvents } from '../exchange/contracts.ts'
import type { ListenerContext } from '../exchange/exchange.ts'
import type { Http1Downstream } from './http1.ts'

/** A FIN this soon after the request is a client that has said all it has to say; a later one is a client that has left. */
export const HALF_CLOSE_MS = 100
/** An idle client may have a request on its way to us when draining starts; it gets this long to arrive. */
export const DRAIN_IDLE_MS = 500

/** What a connection needs of its server. `listener` is read anew for each request: a reload may have changed it. */
export interface Http1Server {
  readonly listener: ListenerContext
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  /** No further request on a connection: every response says `Connection: close`. */
  readonly isDraining: boolean
  onGone(connection: Http1Downstream): void
  /** The client speaks HTTP/2; `first` is all it has said so far. This connection is out of it. */
  onHttp2(connection: Http1Downstream, wire: Wire, first: WireBuffer): void
}
