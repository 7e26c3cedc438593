import net from 'node:net'
import { type AddressSet, createAddressSet } from '../base/cidr.ts'
import type { DestinationsConfig } from '../config/forward-types.ts'
import { type HostPattern, hostMatches, parseHostPattern } from '../route/host.ts'

/**
 * Addresses that are not of the Internet: what a proxy that serves strangers must not lead to. IPv4 addresses inside IPv6 ones
 * (mapped, NAT64, 6to4, Teredo) are another way to write the same. From the registries of RFC 6890, 169.254.169.254 included.
 */
export const PRIVATE_RANGES: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  // 3fff::/20 and everything outside 2000::/3, which is all that is given out: loopback, mapped, NAT64, ULA, link-local, multicast.
  '::/3',
  '4000::/2',
  '8000::/1',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
]

export interface Destination {
  /** Lower case; IPv6 addresses without brackets. */
  readonly host: string
  readonly port: number
}

/**
 * `host:port`, `[v6]:port` or, with a default, `host`. null for anything else. The dot at the end of a full domain name is dropped: it is
 * the same host.
 */
export function parseDestination(authority: string, defaultPort: number | null): Destination | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:/@?#\s]+))(?::(\d{1,5}))?$/.exec(authority)
  if (match === null) return null
  const port = match[3] === undefined ? defaultPort : Number(match[3])
  const host = (match[1] ?? (match[2] as string).replace(/\.$/, '')).toLowerCase()
  if (port === null || port < 1 || port > 65_535 || host === '' || (match[1] !== undefined && !net.isIPv6(host))) return null
  return { host, port }
}

/** Where the clients of a forward proxy may go. */
export class DestinationPolicy {
  readonly #allowHosts: readonly HostPattern[]
  readonly #denyHosts: readonly HostPattern[]
  readonly #ports: DestinationsConfig['ports']
  readonly #connectPorts: DestinationsConfig['ports']
  readonly #private: AddressSet = createAddressSet(PRIVATE_RANGES)
  readonly #allowPrivate: AddressSet
  readonly #denyAddresses: AddressSet

  constructor(config: DestinationsConfig) {
    this.#allowHosts = config.allowHosts.map(parseHost)
    this.#denyHosts = config.denyHosts.map(parseHost)
    this.#ports = config.ports
    this.#connectPorts = config.connectPorts
    this.#allowPrivate = createAddressSet(config.allowPrivate)
    this.#denyAddresses = createAddressSet(config.denyAddresses)
  }

  /** What is wrong with this host and port, whatever the address is; null: nothing. */
  refuses({ host, port }: Destination, isConnect: boolean): string | null {
    if (!(isConnect ? this.#connectPorts : this.#ports).some(({ first, last }) => port >= first && port <= last)) {
      return `port ${port} may not be reached ${isConnect ? 'with CONNECT ' : ''}through this proxy`
    }
    const isDenied = this.#denyHosts.some((pattern) => hostMatches(pattern, host))
    const isAllowed = this.#allowHosts.length === 0 || this.#allowHosts.some((pattern) => hostMatches(pattern, host))
    return isDenied || !isAllowed ? 'this host may not be reached through this proxy' : null
  }

  /** Of a resolved address. */
  isAddressAllowed(address: string): boolean {
    // A zone would hide the address from the ranges.
    if (net.isIP(address) === 0 || address.includes('%') || this.#denyAddresses.has(address)) return false
    return !this.#private.has(address) || this.#allowPrivate.has(address)
  }
}

function parseHost(host: string): HostPattern {
  return parseHostPattern(host.startsWith('[') ? host.slice(1, -1) : host)
}
