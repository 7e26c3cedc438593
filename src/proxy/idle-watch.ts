import type { RelaySide } from './relay.ts'

/**
 * Whether a relay on which nothing has come in for its idle time is idle: bytes may be waiting for a side that reads slowly, or for
 * their turn under a bandwidth limit. One for each relay, made when its time is over for the first time.
 */
export class IdleWatch {
  #activeMs = -1
  #toClient = 0
  #toUpstream = 0

  /**
   * True: it is not idle, and is to be looked at again after another idle time. Bytes that wait have that long to move; those that have not,
   * wait for nobody. `activeMs`: when something last came in.
   */
  isMoving(activeMs: number, client: RelaySide, upstream: RelaySide): boolean {
    const isKnown = activeMs === this.#activeMs
    const toClient = client.wire?.unsentBytes ?? 0
    const toUpstream = upstream.wire?.unsentBytes ?? 0
    const hasMoved = moved(toClient, isKnown ? this.#toClient : 0) || moved(toUpstream, isKnown ? this.#toUpstream : 0)
    this.#activeMs = activeMs
    this.#toClient = toClient
    this.#toUpstream = toUpstream
    return hasMoved || isThrottled(client) || isThrottled(upstream)
  }
}

/** `before`: what waited when it was last looked at; 0: nothing did, or nobody looked. */
function moved(unsent: number, before: number): boolean {
  return unsent > 0 && (before === 0 || unsent < before)
}

function isThrottled({ throttle }: RelaySide): boolean {
  return throttle !== null && throttle.deadlineMs !== 0
}
