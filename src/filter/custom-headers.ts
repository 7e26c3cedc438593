import { isFieldValue, isToken } from '../codec/chars.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { isHost } from '../codec/http1/head.ts'
import type { FilterHeaders } from '../config/filter-api.ts'
import type { Exchange } from '../exchange/exchange.ts'

/** Fields Sluice writes itself: set by hand they would break message framing (RFC 9112 section 6) or the connection. */
const FRAMING = new Set(['connection', 'content-length', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])

/** A name and a value that may be sent. Returns the value as text. Throws a TypeError. */
export function checkField(name: string, value: unknown): string {
  const lower = lowerName(name)
  if (FRAMING.has(lower)) throw new TypeError(`the header ${name} frames the message and is written by Sluice itself`)
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string')
    throw new TypeError(`the value of header ${name} must be text, not ${value === null ? 'null' : typeof value}`)
  // The value may be a secret: it is not quoted.
  if (!isFieldValue(text)) throw new TypeError(`the value of header ${name} has characters that cannot be sent`)
  return text
}

function lowerName(name: unknown): string {
  if (typeof name !== 'string' || !isToken(name)) throw new TypeError(`not a header name: ${JSON.stringify(name)}`)
  return name.toLowerCase()
}

/** The fields of a message as a custom filter sees them. `assertWritable` throws when they can no longer be changed. */
export class HeaderView implements FilterHeaders {
  readonly #block: HeaderBlock
  readonly #assertWritable: () => void

  constructor(block: HeaderBlock, assertWritable: () => void) {
    this.#block = block
    this.#assertWritable = assertWritable
  }

  get(name: string): string | undefined {
    return this.#block.get(lowerName(name))
  }

  getAll(name: string): string[] {
    return this.#block.getAll(lowerName(name))
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  set(name: string, value: string | number): void {
    const text = checkField(name, value)
    this.#assertWritable()
    this.#block.set(name, text)
  }

  add(name: string, value: string | number): void {
    const text = checkField(name, value)
    this.#assertWritable()
    this.#block.add(name, text)
  }

  remove(name: string): void {
    const lower = lowerName(name)
    this.#assertWritable()
    this.#block.remove(lower)
  }

  entries(): IterableIterator<[string, string]> {
    return this.#block.toPairs().values()
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries()
  }
}

/** Those of the request: there is always exactly one Host, which is kept apart (Exchange.upstreamHost). */
export class RequestHeaderView extends HeaderView {
  readonly #x: Exchange
  readonly #assertWritable: () => void

  constructor(x: Exchange, assertWritable: () => void) {
    super(x.request.headers, assertWritable)
    this.#x = x
    this.#assertWritable = assertWritable
  }

  override get(name: string): string | undefined {
    return lowerName(name) === 'host' ? (this.#x.upstreamHost ?? this.#x.authority) : super.get(name)
  }

  override getAll(name: string): string[] {
    return lowerName(name) === 'host' ? [this.get(name) as string] : super.getAll(name)
  }

  override set(name: string, value: string | number): void {
    if (lowerName(name) !== 'host') {
      super.set(name, value)
      return
    }
    const host = checkField(name, value)
    if (host === '' || !isHost(host)) throw new TypeError('the value of header host is not a host')
    this.#assertWritable()
    this.#x.upstreamHost = host
  }

  override add(name: string, value: string | number): void {
    if (lowerName(name) === 'host') throw new TypeError('a request has one Host: use set')
    super.add(name, value)
  }

  override remove(name: string): void {
    if (lowerName(name) === 'host') throw new TypeError('a request has one Host: use set')
    super.remove(name)
  }

  override entries(): IterableIterator<[string, string]> {
    const pairs: [string, string][] = [['Host', this.get('host') as string]]
    for (const pair of super.entries()) if (pair[0].toLowerCase() !== 'host') pairs.push(pair)
    return pairs.values()
  }
}
