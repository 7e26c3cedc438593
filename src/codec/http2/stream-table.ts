const FIRST_SLOTS = 16

/**
 * The open streams of one session by id: a table with open addressing. Ids count up by two and most streams live briefly, so nearly every
 * stream finds its own place free; a Map rebuilds itself again and again as streams come and go.
 */
export class StreamTable<S extends { readonly id: number }> {
  #slots: (S | null)[] = new Array(FIRST_SLOTS).fill(null)
  #mask = FIRST_SLOTS - 1
  size = 0

  get(id: number): S | undefined {
    const slots = this.#slots
    const mask = this.#mask
    for (let at = (id >>> 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at] as S | null
      if (stream === null) return undefined
      if (stream.id === id) return stream
    }
  }

  /** A stream that is not in the table. Its id stays as it is. */
  add(stream: S): void {
    this.size++
    // At most half full, so that a search ends soon even where ids collide.
    if (this.size * 2 > this.#slots.length) this.#grow()
    this.#put(stream)
  }

  delete(id: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let hole = (id >>> 1) & mask
    for (; ; hole = (hole + 1) & mask) {
      const stream = slots[hole] as S | null
      if (stream === null) return
      if (stream.id === id) break
    }
    this.size--
    // What stands behind the hole because its own place was taken moves up, so that a search still reaches it.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at] as S | null
      if (stream === null) break
      if (((at - (stream.id >>> 1)) & mask) < ((at - hole) & mask)) continue
      slots[hole] = stream
      hole = at
    }
    slots[hole] = null
  }

  /** The streams of this moment, by id. */
  values(): S[] {
    return this.#slots.filter((stream) => stream !== null).sort((a, b) => a.id - b.id)
  }

  #put(stream: S): void {
    const slots = this.#slots
    const mask = this.#mask
    let at = (stream.id >>> 1) & mask
    while (slots[at] !== null) at = (at + 1) & mask
    slots[at] = stream
  }

  #grow(): void {
    const streams = this.#slots
    this.#slots = new Array(streams.length * 2).fill(null)
    this.#mask = this.#slots.length - 1
    for (const stream of streams) if (stream !== null) this.#put(stream)
  }
}
