import dns from 'node:dns'
import net from 'node:net'
import type { Clock } from '../base/clock.ts'

/** What `net.connect` needs for an endpoint. */
export type ConnectOptions = net.TcpNetConnectOpts

/** A resolved name is believed this long; discovery by DNS proper watches the records' own times. */
const LOOKUP_KEPT_MS = 5000
const MAX_KNOWN = 10_000

/** All addresses of a name. */
export type Resolve = (hostname: string, done: (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void) => void

interface Waiting {
  readonly options: dns.LookupOptions
  readonly callback: Parameters<net.LookupFunction>[2]
}

interface CachedLookup {
  addresses: dns.LookupAddress[]
  untilMs: number
}

/**
 * Connection options for an endpoint. An address needs no lookup; a name is looked up through a short cache, so that a burst of
 * connections asks the resolver once.
 */
export function createConnectOptions(host: string, port: number, lookups: LookupCache): ConnectOptions {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  if (net.isIP(bare) !== 0) return { host: bare, port, autoSelectFamily: false }
  return { host: bare, port, lookup: lookups.lookup }
}

export class LookupCache {
  readonly #clock: Clock
  readonly #resolve: Resolve
  readonly #known = new Map<string, CachedLookup>()
  /** Who waits for a question that has been asked already: the resolver has few threads. */
  readonly #waiting = new Map<string, Waiting[]>()

  /** `resolve` is the system's by default. */
  constructor(clock: Clock, resolve: Resolve = (hostname, done) => dns.lookup(hostname, { all: true }, done)) {
    this.#clock = clock
    this.#resolve = resolve
  }

  readonly lookup: net.LookupFunction = (hostname, options, callback) => {
    const cached = this.#known.get(hostname)
    if (cached !== undefined && cached.untilMs > this.#clock.now()) {
      this.#answer(cached.addresses, options, callback)
      return
    }
    const waiting = this.#waiting.get(hostname)
    if (waiting !== undefined) {
      waiting.push({ options, callback })
      return
    }
    const asking: Waiting[] = [{ options, callback }]
    this.#waiting.set(hostname, asking)
    this.#resolve(hostname, (error, addresses) => {
      this.#waiting.delete(hostname)
      // A resolver that fails for a moment must not take away what was right a moment ago.
      const found = error === null ? addresses : (cached?.addresses ?? null)
      if (error === null) this.#keep(hostname, addresses)
      for (const { options, callback } of asking) {
        if (found === null) callback(error, '', 0)
        else this.#answer(found, options, callback)
      }
    })
  }

  /** Clients of a forward proxy choose the names, and there is no end of them: the one that was looked up longest ago goes. */
  #keep(hostname: string, addresses: dns.LookupAddress[]): void {
    this.#known.delete(hostname)
    const oldest = this.#known.size < MAX_KNOWN ? undefined : this.#known.keys().next().value
    if (oldest !== undefined) this.#known.delete(oldest)
    this.#known.set(hostname, { addresses, untilMs: this.#clock.now() + LOOKUP_KEPT_MS })
  }

  #answer(addresses: dns.LookupAddress[], options: dns.LookupOptions, callback: Parameters<net.LookupFunction>[2]): void {
    if (options.all === true) {
      callback(null, addresses)
      return
    }
    const first = addresses[0]
    if (first === undefined) callback(new Error('no address'), '', 0)
    else callback(null, first.address, first.family)
  }
}
