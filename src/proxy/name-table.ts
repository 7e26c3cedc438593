/** Which of several things a name stands for: exact names first, then the longest wildcard (`*.example.com`, any number of labels). */
export class NameTable<T> {
  readonly #exact = new Map<string, T>()
  /** By what follows the star: `.example.com`. */
  readonly #wildcards = new Map<string, T>()

  /** Lower case, as the name that is asked for. */
  add(name: string, value: T): void {
    if (name.startsWith('*.')) this.#wildcards.set(name.slice(1), value)
    else this.#exact.set(name, value)
  }

  find(name: string): T | null {
    const exact = this.#exact.get(name)
    if (exact !== undefined) return exact
    if (this.#wildcards.size === 0) return null
    for (let dot = name.indexOf('.', 1); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const value = this.#wildcards.get(name.slice(dot))
      if (value !== undefined) return value
    }
    return null
  }
}
