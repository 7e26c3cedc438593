/**
 * What a client may do that costs us more than it. Resets and control frames are paid from two budgets that fill up with time and
 * with real work: who sends requests and takes answers has room for all the control frames that come with them, who does nothing
 * else runs dry.
 *
 * Resets: CVE-2023-44487 (the client resets what it has just asked for) and CVE-2025-8671 (it makes us reset it). A stream that ends
 * in order pays for one that does not, so an attack costs the attacker as many whole requests as it has resets.
 */
const RESET_BURST = 200
const RESETS_PER_SECOND = 50
/** Frames that ask for nothing: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, unknown types, what comes for closed streams. */
const CONTROL_BURST = 1000
const CONTROLS_PER_SECOND = 200
/** A request comes with window updates, a priority or two, perhaps a reset of an ended stream. */
const CONTROLS_PER_STREAM = 8
/** For a DATA frame of ours: two window updates, and the ping with which gRPC measures the way. */
const CONTROLS_PER_DATA = 4
/** What can be saved up by real work. */
const CONTROL_LIMIT = 20_000

export class FloodGuard {
  #resets = RESET_BURST
  #controls = CONTROL_BURST
  #filledMs = -1

  /** The time passes. `nowMs`: monotonic. */
  refill(nowMs: number): void {
    if (this.#filledMs >= 0) {
      const seconds = (nowMs - this.#filledMs) / 1000
      if (this.#resets < RESET_BURST) this.#resets = Math.min(RESET_BURST, this.#resets + seconds * RESETS_PER_SECOND)
      if (this.#controls < CONTROL_BURST) this.#controls = Math.min(CONTROL_BURST, this.#controls + seconds * CONTROLS_PER_SECOND)
    }
    this.#filledMs = nowMs
  }

  streamOpened(): void {
    if (this.#controls < CONTROL_LIMIT) this.#controls += CONTROLS_PER_STREAM
  }

  streamCompleted(): void {
    if (this.#resets < RESET_BURST) this.#resets++
  }

  dataSent(): void {
    if (this.#controls < CONTROL_LIMIT) this.#controls += CONTROLS_PER_DATA
  }

  /** False: too many. */
  takeReset(): boolean {
    return --this.#resets >= 0
  }

  /** False: too many. */
  takeControl(): boolean {
    return --this.#controls >= 0
  }
}
