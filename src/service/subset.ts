import type { SubsetConfig } from '../config/types.ts'
import type { Endpoint } from './endpoint.ts'
import { EMPTY_SUBSET, type Pick, type PickContext, type Picker } from './picker.ts'

type CreatePicker = (endpoints: readonly Endpoint[], previous: Picker | null) => Picker

/**
 * Splits the endpoints by the value of one tag, each subset with a picker of its own. A request that names a subset gets an endpoint
 * of it, however unwell that subset is; one that names none, or one without endpoints, gets what the configuration says: any
 * endpoint, one of those without the tag (`default`), or none, which is an answer of its own (`empty-subset`).
 */
export class SubsetPicker implements Picker {
  readonly #bySubset = new Map<string, Picker>()
  /** Over all endpoints; null when nobody may need it. */
  readonly #any: Picker | null
  /** Over those without the tag; null when nobody may need it or there are none. */
  readonly #default: Picker | null
  readonly #fallback: Picker | null
  readonly #absent: Picker | null

  /** `previous` is the picker this one replaces: each subset continues where it stood. */
  constructor(endpoints: readonly Endpoint[], config: SubsetConfig, create: CreatePicker, previous: Picker | null) {
    const before = previous instanceof SubsetPicker ? previous : null
    const live = endpoints.filter((endpoint) => endpoint.weight > 0)
    for (const [value, members] of groupByTag(live, config.key)) {
      this.#bySubset.set(value, create(members, before === null ? null : (before.#bySubset.get(value) ?? null)))
    }
    const wanted = [config.fallback, config.absent]
    const untagged = live.filter((endpoint) => !Object.hasOwn(endpoint.tags, config.key))
    this.#any = wanted.includes('any') ? create(endpoints, before === null ? previous : before.#any) : null
    this.#default = wanted.includes('default') && untagged.length > 0 ? create(untagged, before === null ? null : before.#default) : null
    this.#fallback = this.#pickerFor(config.fallback)
    this.#absent = this.#pickerFor(config.absent)
  }

  pick(context: PickContext): Pick {
    const { subsetKey } = context
    const picker = subsetKey === null || subsetKey === undefined ? this.#absent : (this.#bySubset.get(subsetKey) ?? this.#fallback)
    return picker === null ? EMPTY_SUBSET : picker.pick(context)
  }

  #pickerFor(choice: SubsetConfig['fallback']): Picker | null {
    return choice === 'any' ? this.#any : choice === 'default' ? this.#default : null
  }
}

function groupByTag(endpoints: readonly Endpoint[], key: string): Map<string, Endpoint[]> {
  const groups = new Map<string, Endpoint[]>()
  for (const endpoint of endpoints) {
    const value = Object.hasOwn(endpoint.tags, key) ? endpoint.tags[key] : undefined
    if (value === undefined) continue
    const group = groups.get(value)
    if (group === undefined) groups.set(value, [endpoint])
    else group.push(endpoint)
  }
  return groups
}
