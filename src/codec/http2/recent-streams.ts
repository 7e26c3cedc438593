/** How a stream ended that is not there any more. */
export const FORGOTTEN = 0
/** Both sides said all, or the other side reset it: it has no business there any more. */
export const ENDED = 1
/** We reset it: what the other side sent before it heard of that is still on its way. */
export const RESET_BY_US = 2

const SLOTS = 256

/** The last streams that closed, so that a late frame can be told from a wrong one. Ids grow, so the newest are kept. */
export class RecentStreams {
  readonly #ids = new Int32Array(SLOTS)
  readonly #ends = new Uint8Array(SLOTS)

  add(id: number, end: number): void {
    const slot = (id >>> 1) & (SLOTS - 1)
    this.#ids[slot] = id
    this.#ends[slot] = end
  }

  /** How the stream ended; FORGOTTEN when that is long ago, or it never was. */
  endOf(id: number): number {
    const slot = (id >>> 1) & (SLOTS - 1)
    return this.#ids[slot] === id ? (this.#ends[slot] as number) : FORGOTTEN
  }
}
