/** A first-in-first-out queue over a ring that doubles when full: push and shift cost the same at any length. */
export class Ring<T> {
  #items: (T | undefined)[] = new Array(8).fill(undefined)
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length === this.#items.length) this.#grow()
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item
    this.#length++
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#items.length - 1)
    this.#length--
    return item
  }

  #grow(): void {
    const old = this.#items
    const items: (T | undefined)[] = new Array(old.length * 2).fill(undefined)
    for (let i = 0; i < this.#length; i++) items[i] = old[(this.#head + i) & (old.length - 1)]
    this.#items = items
    this.#head = 0
  }
}
