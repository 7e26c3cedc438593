import type { UdpDropReason } from '../observe/udp-metrics.ts'
import type { TcpContext } from './tcp-runtime.ts'
import { type FlowOwner, UdpFlow } from './udp-flow.ts'
import type { UdpRuntime } from './udp-runtime.ts'

/** Who sent a datagram, as dgram tells. */
export interface UdpSource {
  readonly address: string
  readonly port: number
}

/** What the table needs of its listener. */
export interface UdpFlowsOptions {
  readonly runtime: UdpRuntime
  readonly context: TcpContext
  /** Between how many workers the limit on flows is divided. */
  readonly shares: number
  /** Sends a reply from the listening address. False: it was dropped. */
  readonly reply: (bytes: Buffer, port: number, address: string) => boolean
}

/** A flow that has been silent for less than this does not make room for another: a flood of new clients must not end live ones. */
const SILENT_MS = 1000

/** The flows of one UDP listener in one worker, by the address and port of the client. */
export class UdpFlows implements FlowOwner {
  readonly context: TcpContext
  /** Swapped by a reload; a flow keeps the one it began with. */
  runtime: UdpRuntime
  readonly #options: UdpFlowsOptions
  /** Longest silent first, to within a second. */
  readonly #flows = new Map<string, UdpFlow>()
  #isClosed = false

  constructor(options: UdpFlowsOptions) {
    this.#options = options
    this.context = options.context
    this.runtime = options.runtime
  }

  get size(): number {
    return this.#flows.size
  }

  use(runtime: UdpRuntime): void {
    this.runtime.metrics.flowsOpen.add(-this.#flows.size)
    runtime.metrics.flowsOpen.add(this.#flows.size)
    this.runtime = runtime
  }

  /** A datagram from a client. The bytes are kept as they are. */
  receive(bytes: Buffer, source: UdpSource): void {
    const nowMs = this.context.clock.now()
    const key = `${source.port} ${source.address}`
    const flow = this.#flows.get(key) ?? this.#begin(key, source, nowMs)
    if (flow === null) return
    flow.receive(bytes, nowMs)
  }

  touch(flow: UdpFlow, nowMs: number): void {
    if (nowMs - flow.orderedMs < SILENT_MS || !this.#flows.delete(flow.key)) return
    flow.orderedMs = nowMs
    this.#flows.set(flow.key, flow)
  }

  #begin(key: string, source: UdpSource, nowMs: number): UdpFlow | null {
    const { runtime } = this
    if (this.#isClosed) return this.#drop('draining')
    // IPv4 clients of a dual-stack socket are IPv4 clients.
    const ip = source.address.startsWith('::ffff:') ? source.address.slice(7) : source.address
    if ((runtime.deny?.has(ip) ?? false) || !(runtime.allow?.has(ip) ?? true)) return this.#drop('denied')
    if (this.#flows.size >= Math.ceil(runtime.config.maxFlows / this.#options.shares) && !this.#makeRoom(nowMs))
      return this.#drop('flow-limit')
    const flow = new UdpFlow(this, runtime, key, { address: source.address, port: source.port, ip }, nowMs)
    this.#flows.set(key, flow)
    runtime.metrics.flowsOpen.add(1)
    return flow.start() ? flow : null
  }

  #drop(reason: UdpDropReason): null {
    this.runtime.metrics.dropped(reason)
    return null
  }

  #makeRoom(nowMs: number): boolean {
    const oldest = this.#flows.values().next().value
    if (oldest === undefined || nowMs - oldest.lastMs < SILENT_MS) return false
    oldest.finish('replaced')
    return true
  }

  reply(bytes: Buffer, port: number, address: string): boolean {
    return this.#options.reply(bytes, port, address)
  }

  onFlowEnd(flow: UdpFlow): void {
    if (!this.#flows.delete(flow.key)) return
    this.runtime.metrics.flowsOpen.add(-1)
  }

  /** From now on there are no new flows. */
  stop(): void {
    this.#isClosed = true
  }

  /** A flow waits for a reply. Looks at all of them. */
  get isWaiting(): boolean {
    for (const flow of this.#flows.values()) if (flow.isWaiting) return true
    return false
  }

  close(): void {
    this.#isClosed = true
    for (const flow of [...this.#flows.values()]) flow.finish('closed')
  }
}
