import type { BalanceConfig } from '../config/types.ts'
import { createKeyExtractor, type KeyExtractor, type KeyInput } from './balance/key.ts'

/** Where the keys of a request are kept until its picks. The Exchange has these fields. */
export interface PickKeys {
  hashKey: string | null
  stickyKey: string | null
  subsetKey: string | null
}

/** Reads from a request what a service's balancing goes by. */
export class PickKeyReader {
  readonly #hash: KeyExtractor | null
  readonly #sticky: KeyExtractor | null
  readonly #subset: KeyExtractor | null

  constructor(balance: BalanceConfig) {
    this.#hash = 'on' in balance ? createKeyExtractor(balance.on) : null
    this.#sticky = balance.sticky === undefined ? null : createKeyExtractor({ from: 'cookie', name: balance.sticky.cookie })
    this.#subset = balance.subset === undefined ? null : createKeyExtractor(balance.subset.from)
  }

  /** Call once for each request, before its first pick and after the filters that may rewrite it. */
  read(x: KeyInput & PickKeys): void {
    if (this.#hash !== null) x.hashKey = this.#hash(x)
    if (this.#sticky !== null) x.stickyKey = this.#sticky(x)
    if (this.#subset !== null) x.subsetKey = this.#subset(x)
  }
}

/** The reader for this configuration; null when its balancing goes by nothing in the request. */
export function createPickKeyReader(balance: BalanceConfig): PickKeyReader | null {
  return 'on' in balance || balance.sticky !== undefined || balance.subset !== undefined ? new PickKeyReader(balance) : null
}
