import type { SharedCounts } from '../base/shared-counts.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { DownstreamEvents } from '../exchange/contracts.ts'
import type { Log } from '../observe/log.ts'
import type { AnyListenerRuntime, ProxyContext } from '../proxy/runtime.ts'
import type { BoundListener } from './bound-listener.ts'
import { ForwardListener } from './forward.ts'
import { HttpListener } from './server.ts'
import { TcpListener } from './tcp.ts'
import { UdpListener } from './udp.ts'

/** What listeners of all protocols need of their worker. */
export interface ListenerEnvironment {
  /** Where the exchanges of HTTP listeners go. */
  readonly events: DownstreamEvents
  readonly tcp: ProxyContext
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly worker: number
  readonly workers: number
  /** Open connections of every listener over all workers. */
  readonly connections: SharedCounts
  /** The program log, which the main thread writes. */
  readonly log: Log
}

/** The listener for this protocol, not bound yet. `row` is its own in `connections`. */
export function createListener(runtime: AnyListenerRuntime, environment: ListenerEnvironment, row: number): BoundListener {
  switch (runtime.protocol) {
    case 'http':
      return new HttpListener({ ...environment, runtime, row })
    case 'tcp':
      return new TcpListener({ ...environment, runtime, row })
    case 'udp':
      return new UdpListener({ ...environment, runtime })
    case 'forward':
      return new ForwardListener({ ...environment, context: environment.tcp, runtime, row })
  }
}
