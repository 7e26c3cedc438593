/** What the dynamic table has to know of its entries. */
export interface TableEntry {
  /** Of name and value, and 32 (RFC 7541 section 4.1). */
  readonly sizeBytes: number
}

/** What RFC 7541 section 4.1 adds for each entry. */
export const ENTRY_OVERHEAD_BYTES = 32
/** SETTINGS_HEADER_TABLE_SIZE until it is changed (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096

const FIRST_SLOTS = 16

/**
 * The dynamic table of HPACK (RFC 7541 section 2.3.2): a queue with the newest entry at index 0. Entries are numbered from 1 in the order
 * of their insertion, so that whoever keeps an entry's number can tell its index, and whether it is still there.
 */
export class HpackTable<Entry extends TableEntry> {
  maxBytes: number
  usedBytes = 0
  count = 0
  /** Insertions so far: the number of the newest entry. */
  inserted = 0
  /** A ring; its length is a power of two. Entry n is at n & (length - 1). Made at the first insertion. */
  #slots: (Entry | null)[] = []

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** `index` 0 is the newest; null when there are not as many. */
  at(index: number): Entry | null {
    if (index >= this.count) return null
    const slots = this.#slots
    return slots[(this.inserted - index) & (slots.length - 1)] as Entry
  }

  /** Makes room and inserts. An entry larger than the table empties it and is not inserted (section 4.4). */
  insert(entry: Entry): boolean {
    const { sizeBytes } = entry
    this.evictTo(this.maxBytes - sizeBytes)
    if (sizeBytes > this.maxBytes) return false
    if (this.count === this.#slots.length) this.#grow()
    this.inserted++
    this.#slots[this.inserted & (this.#slots.length - 1)] = entry
    this.count++
    this.usedBytes += sizeBytes
    return true
  }

  resize(maxBytes: number): void {
    this.maxBytes = maxBytes
    this.evictTo(maxBytes)
  }

  /** Removes the oldest entries until `bytes` are enough. */
  evictTo(bytes: number): void {
    while (this.count > 0 && this.usedBytes > bytes) {
      const slots = this.#slots
      const slot = (this.inserted - this.count + 1) & (slots.length - 1)
      this.usedBytes -= (slots[slot] as Entry).sizeBytes
      slots[slot] = null
      this.count--
    }
  }

  #grow(): void {
    const old = this.#slots
    const grown: (Entry | null)[] = new Array(Math.max(FIRST_SLOTS, old.length * 2)).fill(null)
    for (let i = 0; i < this.count; i++) {
      const number = this.inserted - i
      grown[number & (grown.length - 1)] = old[number & (old.length - 1)] as Entry
    }
    this.#slots = grown
  }
}
