const HEAD_BYTES = 5

/**
 * Counts the messages of one direction of a call: each is a flag (compressed or not), its length in 4 bytes, and that many bytes. Keeps
 * three numbers, however the bytes are split; looks at heads only.
 */
export class MessageCounter {
  /** Messages that have begun: their head is complete. */
  messages = 0
  #head = 0
  #length = 0
  #remaining = 0

  /** Everything so far is whole messages. */
  get isBetweenMessages(): boolean {
    return this.#head === 0 && this.#remaining === 0
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    let at = start
    while (at < end) {
      if (this.#remaining > 0) {
        const skip = Math.min(this.#remaining, end - at)
        this.#remaining -= skip
        at += skip
        continue
      }
      if (this.#head > 0) this.#length = this.#length * 256 + (bytes[at] as number)
      at++
      if (++this.#head < HEAD_BYTES) continue
      this.messages++
      this.#remaining = this.#length
      this.#head = 0
      this.#length = 0
    }
  }
}
