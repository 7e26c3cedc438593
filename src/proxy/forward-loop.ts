import { createHash } from 'node:crypto'
import type { HttpListenerConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Refusal } from './forward-route.ts'

/** The name in Via that everybody has until it is configured, and which so says nothing about who somebody is. */
const COMMON_NAME = 'sluice'

const AGAIN: Refusal = { code: 'loop_detected', detail: 'this request has been through this proxy before' }
const ITSELF: Refusal = { code: 'loop_detected', detail: 'this proxy makes no tunnel to itself' }

/**
 * The settings of a forward proxy with a name in Via that no other proxy has, so that a request that comes back can be told. `gateway` is
 * the same in all workers of a gateway and differs between gateways. A name that was chosen stays as it is.
 */
export function withOwnName<C extends Pick<HttpListenerConfig, 'headers'>>(config: C, gateway: string, listener: string): C {
  if (config.headers.via !== COMMON_NAME) return config
  const id = createHash('sha256').update(`${gateway} ${listener}`).digest('hex').slice(0, 10)
  return { ...config, headers: { ...config.headers, via: `${COMMON_NAME}-${id}` } }
}

/** Whether one of those who passed this request on was called `name` (RFC 9110 section 7.6.3): `1.1 a, HTTP/2 name (comment)`. */
export function hasPassed(via: readonly string[], name: string): boolean {
  for (const line of via) {
    if (!line.includes(name)) continue
    // Commas within comments make elements that are no names.
    for (const element of line.split(',')) if (/^\s*\S+\s+([^\s(]+)/.exec(element)?.[1] === name) return true
  }
  return false
}

/** A request that has been here before would go round for ever. */
export function refuseAgain(x: Exchange): Refusal | null {
  const name = x.listener.config.headers.via
  return name !== null && hasPassed(x.request.headers.getAll('via'), name) ? AGAIN : null
}

/** Via of a CONNECT that goes on to a parent proxy; '' for none. */
export function viaLine(x: Exchange): string {
  const name = x.listener.config.headers.via
  if (name === null) return ''
  const earlier = x.request.headers.getAll('via').join(', ')
  const own = `1.${x.request.minor} ${name}`
  return `Via: ${earlier === '' ? own : `${earlier}, ${own}`}\r\n`
}

/** A tunnel that leads to the listener its client has come to: each request inside it would make another. */
export function refuseItself(x: Exchange, listening: string, { remoteAddress = '', remotePort, localAddress }: Ends): Refusal | null {
  if (remotePort !== x.listener.port) return null
  const address = plain(remoteAddress)
  // Whoever speaks to its own machine has the address of the other side itself, or one of the loopback.
  const isHere = address === plain(localAddress ?? '') || address.startsWith('127.') || address === '::1'
  return isHere && (listening === '' || listening === '0.0.0.0' || listening === '::' || listening === address) ? ITSELF : null
}

/** Of a connection that stands. */
interface Ends {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
}

function plain(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}
