import dns from 'node:dns'
import net from 'node:net'
import type { Clock } from '../base/clock.ts'

/** What `net.connect` needs for an endpoint. */
export type ConnectOptions = net.TcpNetConnectOpts

/** A resolved name is believed this long; discovery by DNS proper watches the records' own times. */
const LOOKUP_KEPT_MS = 5000

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
  readonly #known = new Map<string, CachedLookup>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  readonly lookup: net.LookupFunction = (hostname, options, callback) => {
    const cached = this.#known.get(hostname)
    if (cached !== undefined && cached.untilMs > this.#clock.now()) {
      this.#answer(cached.addresses, options, callback)
      return
    }
    dns.lookup(hostname, { all: true }, (error, addresses) => {
      if (error !== null) {
        // A resolver that fails for a moment must not take away what was right a moment ago.
        if (cached !== undefined) this.#answer(cached.addresses, options, callback)
        else callback(error, '', 0)
        return
      }
      this.#known.set(hostname, { addresses, untilMs: this.#clock.now() + LOOKUP_KEPT_MS })
      this.#answer(addresses, options, callback)
    })
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
