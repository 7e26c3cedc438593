import type { AddressSet } from '../base/cidr.ts'
import { createAddressSet } from '../base/cidr.ts'
import type { MatchConfig, ValueMatchConfig } from '../config/types.ts'
import { decodePercent } from './path.ts'
import { compileRegex } from './regex.ts'
import type { MatchInput } from './types.ts'
import { equalsQueryText, findCookie, findQueryParameter, Span } from './value.ts'

/** Something a route asks of a request besides host and path. */
export interface Condition {
  passes(input: MatchInput): boolean
  /** Why it does not pass, in plain words. Only asked when it does not. */
  describeFailure(input: MatchInput): string
}

/** Compiles everything but host and path, cheapest first; null when nothing else is asked. Throws when a value is not valid. */
export function compileConditions(match: MatchConfig): Condition[] | null {
  const conditions: Condition[] = []
  if (match.methods !== null) conditions.push(new MethodCondition(match.methods))
  for (const wanted of match.headers) conditions.push(new HeaderCondition(wanted))
  for (const wanted of match.query) conditions.push(new QueryCondition(wanted))
  for (const wanted of match.cookies) conditions.push(new CookieCondition(wanted))
  if (match.clientIp !== null) conditions.push(new ClientIpCondition(match.clientIp))
  return conditions.length === 0 ? null : conditions
}

/** Whether all conditions pass. */
export function allPass(conditions: readonly Condition[], input: MatchInput): boolean {
  for (let i = 0; i < conditions.length; i++) if (!conditions[i]!.passes(input)) return false
  return true
}

/** HEAD is served wherever GET is (RFC 9110, 9.3.2). */
class MethodCondition implements Condition {
  readonly #methods: readonly string[]

  constructor(methods: readonly string[]) {
    this.#methods = methods.includes('GET') && !methods.includes('HEAD') ? [...methods, 'HEAD'] : methods
  }

  passes(input: MatchInput): boolean {
    const method = input.method
    for (let i = 0; i < this.#methods.length; i++) if (this.#methods[i] === method) return true
    return false
  }

  describeFailure(input: MatchInput): string {
    return `method ${input.method} is not one of ${this.#methods.join(', ')}`
  }
}

class HeaderCondition implements Condition {
  readonly #wanted: ValueMatchConfig
  readonly #regex: RegExp | null

  constructor(wanted: ValueMatchConfig) {
    this.#wanted = wanted.name === wanted.name.toLowerCase() ? wanted : { ...wanted, name: wanted.name.toLowerCase() }
    this.#regex = wanted.test === 'regex' ? compileRegex(wanted.pattern) : null
  }

  passes(input: MatchInput): boolean {
    const wanted = this.#wanted
    const value = input.header(wanted.name)
    if (value === undefined) return wanted.test === 'absent'
    if (wanted.test === 'exact') return value === wanted.value
    return this.#regex === null ? wanted.test === 'present' : this.#regex.test(value)
  }

  describeFailure(input: MatchInput): string {
    return describeValue('header', this.#wanted, input.header(this.#wanted.name))
  }
}

/** Looks at the first parameter of that name, decoded as a form is: `+` is a space, escapes are UTF-8. */
class QueryCondition implements Condition {
  readonly #wanted: ValueMatchConfig
  readonly #name: Uint8Array
  readonly #value: Uint8Array | null
  readonly #regex: RegExp | null
  readonly #span = new Span()

  constructor(wanted: ValueMatchConfig) {
    const encoder = new TextEncoder()
    this.#wanted = wanted
    this.#name = encoder.encode(wanted.name)
    this.#value = wanted.test === 'exact' ? encoder.encode(wanted.value) : null
    this.#regex = wanted.test === 'regex' ? compileRegex(wanted.pattern) : null
  }

  passes(input: MatchInput): boolean {
    const query = input.query
    const span = this.#span
    if (!findQueryParameter(query, this.#name, span)) return this.#wanted.test === 'absent'
    if (this.#value !== null) return equalsQueryText(query, span.start, span.end, this.#value)
    return this.#regex === null ? this.#wanted.test === 'present' : this.#regex.test(decodeQuery(query, span))
  }

  describeFailure(input: MatchInput): string {
    const found = findQueryParameter(input.query, this.#name, this.#span)
    return describeValue('query parameter', this.#wanted, found ? decodeQuery(input.query, this.#span) : undefined)
  }
}

class CookieCondition implements Condition {
  readonly #wanted: ValueMatchConfig
  readonly #regex: RegExp | null
  readonly #span = new Span()

  constructor(wanted: ValueMatchConfig) {
    this.#wanted = wanted
    this.#regex = wanted.test === 'regex' ? compileRegex(wanted.pattern) : null
  }

  passes(input: MatchInput): boolean {
    const wanted = this.#wanted
    const span = this.#span
    const header = input.header('cookie')
    if (header === undefined || !findCookie(header, wanted.name, span)) return wanted.test === 'absent'
    if (wanted.test === 'exact') return span.end - span.start === wanted.value.length && header.startsWith(wanted.value, span.start)
    return this.#regex === null ? wanted.test === 'present' : this.#regex.test(header.slice(span.start, span.end))
  }

  describeFailure(input: MatchInput): string {
    const header = input.header('cookie')
    const found = header !== undefined && findCookie(header, this.#wanted.name, this.#span)
    return describeValue('cookie', this.#wanted, found ? header.slice(this.#span.start, this.#span.end) : undefined)
  }
}

class ClientIpCondition implements Condition {
  readonly #list: readonly string[]
  readonly #addresses: AddressSet

  constructor(list: readonly string[]) {
    this.#list = list
    this.#addresses = createAddressSet(list)
  }

  passes(input: MatchInput): boolean {
    return this.#addresses.has(input.clientIp)
  }

  describeFailure(input: MatchInput): string {
    return `client address ${input.clientIp} is not in ${this.#list.join(', ')}`
  }
}

function decodeQuery(query: string, span: Span): string {
  return decodePercent(query.slice(span.start, span.end).replaceAll('+', ' '))
}

function describeValue(what: string, wanted: ValueMatchConfig, value: string | undefined): string {
  if (wanted.test === 'absent') return `${what} ${wanted.name} is present; it must be absent`
  const found = value === undefined ? 'is absent' : `is "${value}"`
  if (wanted.test === 'present') return `${what} ${wanted.name} ${found}`
  return `${what} ${wanted.name} ${found}; wanted ${wanted.test === 'exact' ? wanted.value : `a match of ${wanted.pattern}`}`
}
