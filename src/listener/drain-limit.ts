import { Timed } from '../base/timers.ts'

/** The time at which a listener waits no longer for its connections to end. */
export class DrainLimit extends Timed {
  readonly #done: () => void

  constructor(done: () => void) {
    super()
    this.#done = done
  }

  override onDeadline(): void {
    this.#done()
  }
}
