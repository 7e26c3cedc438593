import type { Log, LogFields } from '../observe/log.ts'

type Level = 'info' | 'warn'

/** The program log for changes that traffic causes, so that no failure of many things at once can flood it. */
export class PacedLog {
  readonly #log: Log
  readonly #linesEach: number
  readonly #everyMs: number
  #beganMs = Number.NEGATIVE_INFINITY
  #lines = 0
  #left = 0

  /** At most `linesEach` lines in each `everyMs`; what was left out is counted in one line more. */
  constructor(log: Log, linesEach = 20, everyMs = 1000) {
    this.#log = log
    this.#linesEach = linesEach
    this.#everyMs = everyMs
  }

  write(level: Level, message: string, fields: LogFields, nowMs: number): void {
    this.flush(nowMs)
    if (this.#lines >= this.#linesEach) {
      this.#left++
      return
    }
    this.#lines++
    this.#log[level](message, fields)
  }

  /** Call now and then, so that the count of what was left out is not kept back. */
  flush(nowMs: number): void {
    if (nowMs - this.#beganMs < this.#everyMs) return
    if (this.#left > 0) this.#log.warn('more endpoints and breakers changed than are named here', { left: this.#left })
    this.#beganMs = nowMs
    this.#lines = 0
    this.#left = 0
  }
}
