import { EjectionGroup, type SlotPlace } from './ejection-group.ts'
import { EndpointControl } from './endpoint-control.ts'
import {
  createSegment,
  EndpointSegment,
  MAX_WORKERS,
  SLOT_FAILS,
  SLOT_MARK,
  SLOT_PENALTY,
  SLOT_UP_SINCE,
  TALLY_FAILURES,
  TALLY_REQUESTS,
} from './endpoint-segment.ts'
import { ServiceChanges } from './endpoint-state.ts'
import { type EndpointStateLayout, SERVICE_SLOT } from './endpoint-states.ts'

export interface EndpointStateStoreOptions {
  /** Number of worker threads, 1 to 64. */
  workers: number
  /**
   * How long the slot of an endpoint that no config names any more keeps its state and is not given to another endpoint. Must be
   * longer than a draining exchange may go on picking. Default 5 minutes.
   */
  graceMs?: number
  /** Slots in each piece of memory that is added. Default 64. */
  slotsPerSegment?: number
}

/** The addresses of a service; a ServiceConfig is one. */
export interface ServiceAddresses {
  readonly name: string
  readonly endpoints: readonly { readonly address: string }[]
}

/** Keeps the slots of one config (or one set of discovered endpoints) until released. */
export interface EndpointStateLease {
  readonly layout: EndpointStateLayout
  /** Call when no worker starts exchanges on this config any more. A second call does nothing. */
  release(nowMs: number): void
}

/** One endpoint as the admin listener shows it. */
export interface EndpointStatistics {
  service: string
  address: string
  inFlight: number
  requests: number
  failures: number
  /** Failures in a row in the current window. */
  recentFailures: number
  /** Weight taken away by failures. */
  penalty: number
  isAside: boolean
}

interface Slot {
  readonly service: string
  readonly address: string
  readonly number: number
  /** Leases that hold it. */
  holders: number
  releasedAtMs: number
}

/**
 * The owner, on the main thread, of the memory that holds the live state of all endpoints. A slot belongs to `service + address`
 * and keeps its state across reloads for as long as any lease holds it.
 *
 * Time: every `nowMs`, here and in EndpointState, is milliseconds of one monotonic clock that reads the same on all threads:
 * `performance.timeOrigin + performance.now()`. A thread may count `performance.now()` alone from its own start.
 */
export class EndpointStateStore {
  readonly #workers: number
  readonly #graceMs: number
  readonly #perSegment: number
  readonly #buffers: SharedArrayBuffer[] = []
  readonly #segments: EndpointSegment[] = []
  readonly #slots = new Map<string, Map<string, Slot>>()
  readonly #free: number[] = []

  /** Throws RangeError when the number of workers is not 1 to 64. */
  constructor(options: EndpointStateStoreOptions) {
    const { workers, graceMs = 300_000, slotsPerSegment = 64 } = options
    if (!(Number.isInteger(workers) && workers >= 1 && workers <= MAX_WORKERS))
      throw new RangeError(`workers must be 1 to ${MAX_WORKERS}, not ${workers}`)
    this.#workers = workers
    this.#graceMs = graceMs
    this.#perSegment = slotsPerSegment
  }

  /** Gives every endpoint of these services a slot (its old one when it has one) and holds it until the lease is released. */
  retain(services: Iterable<ServiceAddresses>, nowMs: number): EndpointStateLease {
    this.#reclaim(nowMs)
    const held = new Set<Slot>()
    const slots: EndpointStateLayout['slots'] = Object.create(null)
    for (const service of services) {
      const numbers: Record<string, number> = Object.create(null)
      numbers[SERVICE_SLOT] = this.#hold(service.name, SERVICE_SLOT, held, nowMs)
      for (const { address } of service.endpoints) numbers[address] = this.#hold(service.name, address, held, nowMs)
      slots[service.name] = numbers
    }
    let isReleased = false
    return {
      layout: { segments: [...this.#buffers], slots },
      release: (releasedAtMs) => {
        if (isReleased) return
        isReleased = true
        for (const slot of held) {
          slot.holders--
          slot.releasedAtMs = releasedAtMs
        }
      },
    }
  }

  /** Takes back what a worker that died had in flight. Call before another worker starts under the same index. */
  resetWorker(worker: number): void {
    if (!(Number.isInteger(worker) && worker >= 0 && worker < this.#workers)) throw new RangeError(`there is no worker ${worker}`)
    for (const segment of this.#segments) segment.clearInFlight(worker)
  }

  /** The main thread's hand on an endpoint of a lease that is held; null when there is no such endpoint. */
  control(service: string, address: string): EndpointControl | null {
    const slot = this.#find(service, address)
    const own = this.#find(service, SERVICE_SLOT)
    if (slot === undefined || own === undefined || slot.holders === 0 || own.holders === 0) return null
    const changes = new ServiceChanges(this.#segmentOf(own.number), own.number % this.#perSegment)
    return new EndpointControl(this.#segmentOf(slot.number), slot.number % this.#perSegment, changes)
  }

  /** These endpoints, to be ejected at most in part; addresses that no lease holds are left out. */
  group(service: string, addresses: readonly string[], maxEjectedRatio: number): EjectionGroup {
    const places: SlotPlace[] = []
    for (const address of addresses) {
      const slot = this.#find(service, address)
      if (slot === undefined || slot.holders === 0) continue
      places.push({ segment: this.#segmentOf(slot.number), localSlot: slot.number % this.#perSegment })
    }
    return new EjectionGroup(places, maxEjectedRatio)
  }

  /** All endpoints that some lease holds. */
  statistics(): EndpointStatistics[] {
    const all: EndpointStatistics[] = []
    for (const slot of this.#allSlots()) {
      if (slot.holders === 0 || slot.address === SERVICE_SLOT) continue
      const segment = this.#segmentOf(slot.number)
      const local = slot.number % this.#perSegment
      const words = segment.slotWord(local)
      all.push({
        service: slot.service,
        address: slot.address,
        inFlight: segment.inFlight(local),
        requests: segment.total(local, TALLY_REQUESTS),
        failures: segment.total(local, TALLY_FAILURES),
        recentFailures: Atomics.load(segment.words, words + SLOT_FAILS),
        penalty: Atomics.load(segment.words, words + SLOT_PENALTY),
        isAside: Atomics.load(segment.words, words + SLOT_MARK) !== 0,
      })
    }
    return all
  }

  #hold(service: string, address: string, held: Set<Slot>, nowMs: number): number {
    const slot = this.#find(service, address) ?? this.#allocate(service, address)
    if (slot.holders === 0 && address !== SERVICE_SLOT) {
      const segment = this.#segmentOf(slot.number)
      Atomics.store(segment.words, segment.slotWord(slot.number % this.#perSegment) + SLOT_UP_SINCE, nowMs | 0 || 1)
    }
    // A service may name an address twice; the lease still counts once.
    if (!held.has(slot)) {
      held.add(slot)
      slot.holders++
    }
    return slot.number
  }

  #find(service: string, address: string): Slot | undefined {
    return this.#slots.get(service)?.get(address)
  }

  #allocate(service: string, address: string): Slot {
    if (this.#free.length === 0) this.#grow()
    const slot: Slot = { service, address, number: this.#free.pop() as number, holders: 0, releasedAtMs: 0 }
    let addresses = this.#slots.get(service)
    if (addresses === undefined) {
      addresses = new Map()
      this.#slots.set(service, addresses)
    }
    addresses.set(address, slot)
    return slot
  }

  #grow(): void {
    const buffer = createSegment(this.#workers, this.#perSegment)
    const first = this.#segments.length * this.#perSegment
    this.#buffers.push(buffer)
    this.#segments.push(new EndpointSegment(buffer))
    for (let slot = first + this.#perSegment - 1; slot >= first; slot--) this.#free.push(slot)
  }

  /** Frees the slots that nobody has held for the grace time. One with requests still in flight (a long stream) waits for them. */
  #reclaim(nowMs: number): void {
    for (const slot of this.#allSlots()) {
      if (slot.holders > 0 || nowMs - slot.releasedAtMs < this.#graceMs) continue
      const segment = this.#segmentOf(slot.number)
      const local = slot.number % this.#perSegment
      if (segment.inFlight(local) !== 0) continue
      segment.clear(local)
      this.#free.push(slot.number)
      const addresses = this.#slots.get(slot.service)
      addresses?.delete(slot.address)
      if (addresses?.size === 0) this.#slots.delete(slot.service)
    }
  }

  *#allSlots(): Generator<Slot> {
    for (const addresses of this.#slots.values()) yield* addresses.values()
  }

  #segmentOf(slot: number): EndpointSegment {
    const segment = this.#segments[Math.floor(slot / this.#perSegment)]
    if (segment === undefined) throw new Error(`slot ${slot} is in no segment`)
    return segment
  }
}
