/**
 * Pieces of shared memory that several threads know by name. The main thread owns a store for each kind of thing (breakers, budgets,
 * limits); a worker gets the layout by structured clone and finds its areas in it. The memory itself is shared, never copied.
 */

/** One thread's view of one area. What lies in it is up to the algorithm that uses it; new memory is zero. */
export interface SharedArea {
  readonly words: Int32Array
  /** Index of the first word of the area; a multiple of 16, so that areas never share a cache line. */
  readonly at: number
  /** Index of this thread, from 0 to `workers - 1`. */
  readonly worker: number
  /** Number of threads that write to the area. */
  readonly workers: number
}

/** Plain data that crosses to a worker. */
export interface SharedAreaLayout {
  readonly segments: readonly SharedArrayBuffer[]
  readonly wordsPerArea: number
  readonly areasPerSegment: number
  readonly workers: number
  /** Name to number of the area, counted over all segments. */
  readonly areas: Readonly<Record<string, number>>
}

/** Keeps the areas of one config until released. */
export interface SharedAreaLease {
  readonly layout: SharedAreaLayout
  /** Call when no worker uses this config any more. A second call does nothing. */
  release(nowMs: number): void
}

export interface SharedAreaStoreOptions {
  /** Size of each area in 4-byte words; rounded up to whole cache lines. */
  wordsPerArea: number
  /** Number of threads that write. */
  workers: number
  /** How long an area that no config names any more keeps its content. Longer than a draining exchange may last. Default 5 minutes. */
  graceMs?: number
  /** Areas in each piece of memory that is added. Default 64. */
  areasPerSegment?: number
}

interface OwnedArea {
  readonly number: number
  holders: number
  releasedAtMs: number
}

const LINE_WORDS = 16

export function roundUpToLine(words: number): number {
  return Math.ceil(words / LINE_WORDS) * LINE_WORDS
}

/** An area of its own, outside any store. `buffer` of an earlier call gives another thread's view of the same memory. */
export function createSharedArea(words: number, workers = 1, worker = 0, buffer?: SharedArrayBuffer): SharedArea {
  return { words: new Int32Array(buffer ?? new SharedArrayBuffer(roundUpToLine(words) * 4)), at: 0, worker, workers }
}

/** The owner of all areas of one kind. An area belongs to a name and keeps its content across reloads while any lease names it. */
export class SharedAreaStore {
  readonly #words: number
  readonly #workers: number
  readonly #graceMs: number
  readonly #perSegment: number
  readonly #segments: SharedArrayBuffer[] = []
  readonly #areas = new Map<string, OwnedArea>()
  readonly #free: number[] = []

  constructor({ wordsPerArea, workers, graceMs = 300_000, areasPerSegment = 64 }: SharedAreaStoreOptions) {
    this.#words = roundUpToLine(wordsPerArea)
    this.#workers = workers
    this.#graceMs = graceMs
    this.#perSegment = areasPerSegment
  }

  /** Gives every name an area (its old one when it has one) and holds it until the lease is released. */
  retain(names: Iterable<string>, nowMs: number): SharedAreaLease {
    this.#reclaim(nowMs)
    const held = new Set<OwnedArea>()
    const areas: Record<string, number> = Object.create(null)
    for (const name of names) {
      const area = this.#areas.get(name) ?? this.#allocate(name)
      areas[name] = area.number
      if (held.has(area)) continue
      held.add(area)
      area.holders++
    }
    let isReleased = false
    return {
      layout: this.#layout(areas),
      release: (releasedAtMs) => {
        if (isReleased) return
        isReleased = true
        for (const area of held) {
          area.holders--
          area.releasedAtMs = releasedAtMs
        }
      },
    }
  }

  /** Every area in use, to take back what a dead worker held and to show statistics. The views count as worker 0. */
  all(): SharedAreas {
    const areas: Record<string, number> = Object.create(null)
    for (const [name, area] of this.#areas) areas[name] = area.number
    return new SharedAreas(this.#layout(areas), 0)
  }

  #layout(areas: Record<string, number>): SharedAreaLayout {
    return {
      segments: [...this.#segments],
      wordsPerArea: this.#words,
      areasPerSegment: this.#perSegment,
      workers: this.#workers,
      areas,
    }
  }

  #allocate(name: string): OwnedArea {
    if (this.#free.length === 0) this.#grow()
    const area: OwnedArea = { number: this.#free.pop() as number, holders: 0, releasedAtMs: 0 }
    this.#areas.set(name, area)
    return area
  }

  #grow(): void {
    const first = this.#segments.length * this.#perSegment
    this.#segments.push(new SharedArrayBuffer(this.#words * this.#perSegment * 4))
    for (let number = first + this.#perSegment - 1; number >= first; number--) this.#free.push(number)
  }

  #reclaim(nowMs: number): void {
    for (const [name, area] of this.#areas) {
      if (area.holders > 0 || nowMs - area.releasedAtMs < this.#graceMs) continue
      const segment = this.#segments[Math.floor(area.number / this.#perSegment)] as SharedArrayBuffer
      const at = (area.number % this.#perSegment) * this.#words
      new Int32Array(segment).fill(0, at, at + this.#words)
      this.#areas.delete(name)
      this.#free.push(area.number)
    }
  }
}

/** One worker's access to the areas of one layout. */
export class SharedAreas {
  readonly #layout: SharedAreaLayout
  readonly #worker: number
  readonly #views: Int32Array[]

  /** Throws RangeError when the layout has no place for this worker. */
  constructor(layout: SharedAreaLayout, worker: number) {
    if (!(worker >= 0 && worker < layout.workers))
      throw new RangeError(`worker ${worker} of ${layout.workers} has no place in the shared areas`)
    this.#layout = layout
    this.#worker = worker
    this.#views = layout.segments.map((segment) => new Int32Array(segment))
  }

  get names(): string[] {
    return Object.keys(this.#layout.areas)
  }

  /** Throws when the layout has no such area: the main thread makes every area before workers hear of it. */
  area(name: string): SharedArea {
    const { areas, areasPerSegment, wordsPerArea, workers } = this.#layout
    const number = Object.hasOwn(areas, name) ? areas[name] : undefined
    const words = number === undefined ? undefined : this.#views[Math.floor(number / areasPerSegment)]
    if (number === undefined || words === undefined) throw new Error(`no shared area "${name}"`)
    return { words, at: (number % areasPerSegment) * wordsPerArea, worker: this.#worker, workers }
  }
}
