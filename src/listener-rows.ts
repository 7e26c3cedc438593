import type { ListenerConfig } from './config/types.ts'
import { boundAddress, boundKey } from './ports.ts'

/** Rows in the shared counts of connections: as many listener addresses as a process may see from its start to its end. */
export const MAX_LISTENER_ROWS = 1024

/** The row of each listener in the shared counts of connections, by address: what one counts survives a reload, whatever its name is then. */
export class ListenerRows {
  readonly #rows = new Map<string, number>()

  /** Throws when there have been too many addresses. */
  add(listeners: readonly ListenerConfig[]): void {
    for (const listener of listeners) {
      const key = rowKey(listener)
      if (this.#rows.has(key)) continue
      if (this.#rows.size >= MAX_LISTENER_ROWS) throw new Error(`more than ${MAX_LISTENER_ROWS} listener addresses since the start`)
      this.#rows.set(key, this.#rows.size)
    }
  }

  /** By name, for workers. */
  of(listeners: readonly ListenerConfig[]): Record<string, number> {
    return Object.fromEntries(listeners.map((listener) => [listener.name, this.#rows.get(rowKey(listener)) ?? 0]))
  }
}

/** A listener is its address, whatever its name; only a port that the system chose goes by name. */
function rowKey(listener: ListenerConfig): string {
  return listener.address.port === 0 ? `name ${listener.name}` : boundKey(boundAddress(listener))
}
