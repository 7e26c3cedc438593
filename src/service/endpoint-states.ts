import { EndpointSegment } from './endpoint-segment.ts'
import { type Ejection, type LatencyTracking, ServiceChanges, SharedEndpointState } from './endpoint-state.ts'

/** Where a service's own shared words are found among the slots of its endpoints: no endpoint has an empty address. */
export const SERVICE_SLOT = ''

/** Plain data, made on the main thread, that crosses to a worker by structured clone; the memory itself is shared, not copied. */
export interface EndpointStateLayout {
  segments: SharedArrayBuffer[]
  /** Service, then address (and SERVICE_SLOT), to slot number. */
  slots: Record<string, Record<string, number>>
}

/** One worker's access to the shared state of all endpoints. */
export class EndpointStates {
  readonly #worker: number
  #segments: EndpointSegment[] = []
  #slots: EndpointStateLayout['slots'] = {}

  /** `worker` is this thread's index, from 0 to one less than the number of workers of the store. */
  constructor(layout: EndpointStateLayout, worker: number) {
    this.#worker = worker
    this.update(layout)
  }

  /** Takes over a newer layout (of all services, not only of what changed), before services with new endpoints are built. Views made earlier stay good. */
  update(layout: EndpointStateLayout): void {
    const segments = layout.segments.map((buffer) => new EndpointSegment(buffer))
    for (const segment of segments) {
      if (!(this.#worker >= 0 && this.#worker < segment.workers)) {
        throw new RangeError(`worker ${this.#worker} of ${segment.workers} has no place in the endpoint state`)
      }
    }
    this.#segments = segments
    this.#slots = layout.slots
  }

  /** Throws when the layout has no slot for the address: the main thread gives every endpoint one before workers hear of it. */
  state(service: string, address: string, weight: number, ejection: Ejection, latency: LatencyTracking = null): SharedEndpointState {
    const [segment, localSlot] = this.#locate(service, address)
    return new SharedEndpointState(segment, localSlot, this.#worker, this.changes(service), { weight, ejection, latency })
  }

  changes(service: string): ServiceChanges {
    const [segment, localSlot] = this.#locate(service, SERVICE_SLOT)
    return new ServiceChanges(segment, localSlot)
  }

  #locate(service: string, address: string): [EndpointSegment, number] {
    const addresses = Object.hasOwn(this.#slots, service) ? this.#slots[service] : undefined
    const slot = addresses !== undefined && Object.hasOwn(addresses, address) ? addresses[address] : undefined
    const perSegment = this.#segments[0]?.slots ?? 1
    const segment = slot === undefined ? undefined : this.#segments[Math.floor(slot / perSegment)]
    if (slot === undefined || segment === undefined) throw new Error(`no state slot for endpoint "${address}" of service "${service}"`)
    return [segment, slot % perSegment]
  }
}
