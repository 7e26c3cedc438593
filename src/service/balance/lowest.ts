import type { Random } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { type ScoreKind, scoreOf } from './score.ts'
import { ScoreTree } from './score-tree.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'

/** How many scores each pick reads anew, in turn. */
const READ_EACH_PICK = 2
/** How often a pick looks again because the one it found has more to do than was known. */
const MAX_LOOKS = 4

/**
 * The endpoint with the lowest score of all, among equals drawn by weight. Reading all scores for each pick would take microseconds at
 * a hundred endpoints, so they are kept in a tree: the score of the last choice and of the one found are read at once, so nobody is
 * chosen by a number that is too good; all others in turn, two with each pick, so one that has become free may be missed for half as
 * many picks as there are endpoints.
 */
export class LowestPicker implements Picker {
  readonly #usable: UsableEndpoints
  readonly #tree: ScoreTree
  readonly #random: Random
  readonly #kind: ScoreKind
  #revision = -1
  #next = 0
  #last = 0

  constructor(endpoints: readonly Endpoint[], options: PickerOptions, kind: ScoreKind) {
    this.#usable = new UsableEndpoints(endpoints, options)
    this.#tree = new ScoreTree(endpoints.length)
    this.#random = options.random
    this.#kind = kind
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    const { tried, nowMs } = context
    this.#readSome(nowMs)
    const isRetry = tried !== null && usable.hasUntried(tried)
    if (isRetry) this.#takeOut(tried)
    const index = this.#find(nowMs)
    if (isRetry) this.#putBack(tried, nowMs)
    this.#last = index
    return usable.picks[index]!
  }

  #readSome(nowMs: number): void {
    const { revision, weights } = this.#usable
    if (revision !== this.#revision) {
      this.#revision = revision
      for (let i = 0; i < weights.length; i++) this.#read(i, nowMs)
      return
    }
    this.#read(this.#last, nowMs)
    for (let n = 0; n < READ_EACH_PICK; n++) {
      this.#read(this.#next, nowMs)
      this.#next = this.#next + 1 === weights.length ? 0 : this.#next + 1
    }
  }

  #read(index: number, nowMs: number): number {
    const weight = this.#usable.weights[index]!
    const score = weight === 0 ? Number.POSITIVE_INFINITY : scoreOf(this.#kind, this.#usable, index, nowMs)
    this.#tree.set(index, score, weight)
    return score
  }

  #find(nowMs: number): number {
    const tree = this.#tree
    let index = tree.draw(this.#random)
    for (let look = 1; look < MAX_LOOKS; look++) {
      const known = tree.score(index)
      if (this.#read(index, nowMs) <= known) break
      index = tree.draw(this.#random)
    }
    return index
  }

  #takeOut(tried: readonly Endpoint[]): void {
    const { endpoints } = this.#usable
    for (let i = 0; i < endpoints.length; i++) if (isTried(tried, endpoints[i]!)) this.#tree.set(i, Number.POSITIVE_INFINITY, 0)
  }

  #putBack(tried: readonly Endpoint[], nowMs: number): void {
    const { endpoints } = this.#usable
    for (let i = 0; i < endpoints.length; i++) if (isTried(tried, endpoints[i]!)) this.#read(i, nowMs)
  }
}
