import { randomBytes } from 'node:crypto'

/** What Node.js wants: a name, a key for the signature and a key for the cipher, 16 bytes each. */
const KEY_BYTES = 48
/**
 * Who steals a key can read the recorded sessions of TLS 1.2 that were resumed with it, so none is used for long. Node.js takes one key
 * at a time: clients whose session began under the key before make a whole handshake once, and notice nothing.
 */
const ROTATION_MS = 8 * 3600 * 1000

/** The keys that session tickets are sealed with, made by the main thread for all workers. They are never written anywhere. */
export class TicketKeys {
  readonly #timer: NodeJS.Timeout
  #current: Buffer = randomBytes(KEY_BYTES)

  /** `schedule` is setInterval. */
  constructor(schedule: (callback: () => void, intervalMs: number) => NodeJS.Timeout, onChange: (keys: Buffer) => void) {
    this.#timer = schedule(() => {
      this.#current = randomBytes(KEY_BYTES)
      onChange(this.#current)
    }, ROTATION_MS)
    this.#timer.unref()
  }

  get current(): Buffer {
    return this.#current
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
