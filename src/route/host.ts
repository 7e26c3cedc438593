/** Hosts as routes name them, and the index that finds the wildcards a request's host falls under. */
import { keyOf, mixHash, slotCount, slotOf } from './hash.ts'

/** `name` of a wildcard is what follows the star, with its dot: `.example.com`. '' for any host. */
export interface HostPattern {
  readonly kind: 'exact' | 'wildcard' | 'any'
  readonly name: string
}

export const ANY_HOST: HostPattern = { kind: 'any', name: '' }

const DOT = 46

/** Reads `api.example.com` or `*.example.com`, in any case, with or without the root's dot. Throws an Error that quotes what is not valid. */
export function parseHostPattern(text: string): HostPattern {
  const name = text.toLowerCase().replace(/\.$/, '')
  const wildcard = name.startsWith('*.')
  const rest = wildcard ? name.slice(1) : name
  if (rest === '' || rest === '.' || rest.includes('*')) {
    throw new Error(`host "${text}": it must be a name such as api.example.com or a wildcard such as *.example.com`)
  }
  return { kind: wildcard ? 'wildcard' : 'exact', name: rest }
}

/** Whether one host fits, without the index. A wildcard stands for one or more labels. */
export function hostMatches(pattern: HostPattern, host: string): boolean {
  if (pattern.kind === 'exact') return host === pattern.name
  return pattern.kind === 'any' || (host.length > pattern.name.length && host.endsWith(pattern.name))
}

/** A host in plain words, as in `host *.example.com`. */
export function describeHost(pattern: HostPattern): string {
  if (pattern.kind === 'any') return 'any host'
  return `host ${hostText(pattern)}`
}

/** A host as it is written in a configuration. */
export function hostText(pattern: HostPattern): string {
  return pattern.kind === 'wildcard' ? `*${pattern.name}` : pattern.name
}

/** One configured wildcard and the next shorter one that holds all its hosts. */
export class WildcardHost<V> {
  readonly suffix: string
  readonly hash: number
  readonly value: V
  shorter: WildcardHost<V> | null = null

  constructor(suffix: string, value: V) {
    this.suffix = suffix
    this.value = value
    let hash = 0
    for (let i = suffix.length - 1; i >= 0; i--) hash = mixHash(hash, suffix.charCodeAt(i))
    this.hash = hash
  }
}

/**
 * Wildcards by suffix. A host is read once, from its end; at each dot the hash of what has been read finds the suffix, if there is one,
 * so nothing is cut out of the host. The slots are an open-addressed table, at most half full.
 */
export class WildcardIndex<V> {
  readonly #slots: (WildcardHost<V> | null)[]
  readonly #mask: number
  readonly #longest: number

  constructor(bySuffix: ReadonlyMap<string, V>) {
    const size = slotCount(bySuffix.size)
    this.#slots = new Array<WildcardHost<V> | null>(size).fill(null)
    this.#mask = size - 1
    const suffixes = [...bySuffix].sort(([a], [b]) => a.length - b.length)
    this.#longest = suffixes.at(-1)?.[0].length ?? 0
    for (const [suffix, value] of suffixes) {
      const host = new WildcardHost(suffix, value)
      // Shorter ones are already in, so this finds the longest of them; a suffix is never under itself, it has no label before the dot.
      host.shorter = this.find(suffix)
      let slot = slotOf(keyOf(host.hash, 0), this.#mask)
      while (this.#slots[slot] !== null) slot = (slot + 1) & this.#mask
      this.#slots[slot] = host
    }
  }

  /** The longest wildcard that holds `host`; the others follow by `shorter`. */
  find(host: string): WildcardHost<V> | null {
    let found: WildcardHost<V> | null = null
    let hash = 0
    const last = Math.max(1, host.length - this.#longest)
    for (let i = host.length - 1; i >= last; i--) {
      const code = host.charCodeAt(i)
      hash = mixHash(hash, code)
      if (code === DOT) found = this.#lookUp(hash, host, host.length - i) ?? found
    }
    return found
  }

  #lookUp(hash: number, host: string, length: number): WildcardHost<V> | null {
    for (let slot = slotOf(keyOf(hash, 0), this.#mask); ; slot = (slot + 1) & this.#mask) {
      const candidate = this.#slots[slot]!
      if (candidate === null) return null
      if (candidate.hash === hash && candidate.suffix.length === length && host.endsWith(candidate.suffix)) return candidate
    }
  }
}
