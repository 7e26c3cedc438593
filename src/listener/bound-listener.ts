import type { AnyListenerRuntime } from '../proxy/runtime.ts'

/** What a worker does with a bound address, whatever is spoken on it. One per protocol: server.ts (HTTP), tcp.ts; made by create.ts. */
export interface BoundListener {
  /** As the last snapshot has it: name, configured address, protocol. */
  readonly runtime: AnyListenerRuntime
  /** Binds, and serves from then on. Resolves to the port. */
  listen(host: string, port: number): Promise<number>
  /** Goes on with the settings of a new snapshot, possibly under another name. The worker never changes the protocol. */
  use(runtime: AnyListenerRuntime): void
  /** No new connections. Resolves when the address is free. */
  stopListening(): Promise<void>
  /** The orderly end: resolves when everything has ended, or was cut off because the time is over. */
  drain(timeoutMs: number): Promise<void>
  /** The end of a listener that nobody knows of: at once, with what it has. */
  close(): void
}
