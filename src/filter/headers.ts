import { GatewayError } from '../base/error.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { isHost } from '../codec/http1/head.ts'
import type { FilterConfig, HeaderEditConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { compileTemplate, renderTemplate, type Template } from './template.ts'

/** The edits of one side in the order in which they are made: remove, then set, then add. Names are lower case. */
interface Edits {
  /** Names to take away: `remove` and those of `set`. */
  readonly removed: readonly string[]
  readonly names: readonly string[]
  /** The value of the name at the same index. */
  readonly values: readonly Template[]
  /** What goes upstream as Host, or null. */
  readonly host: Template | null
}

/**
 * `headers`: sets, adds and removes fields of the request and of the response; within one filter `remove` comes first, then `set`, then
 * `add`. Runs after hop-by-hop fields are gone and forwarding fields are in place, so it has the last word on both. Response edits are
 * made to every response, also to errors of Sluice's own. `host` in `request.set` is the Host the service gets.
 */
export function createHeadersFilter(config: Extract<FilterConfig, { kind: 'headers' }>): Filter {
  const request = compileEdits(config.request, true)
  const response = compileEdits(config.response, false)
  return {
    name: 'headers',
    onRequest:
      request === null
        ? null
        : (x: Exchange): void => {
            applyEdits(request, x.request.headers, x)
            if (request.host !== null) setHost(x, renderTemplate(request.host, x))
          },
    onResponse:
      response === null
        ? null
        : (x: Exchange): void => {
            if (x.response !== null) applyEdits(response, x.response.headers, x)
          },
    onFinish: null,
  }
}

function setHost(x: Exchange, host: string): void {
  if (host === '' || !isHost(host)) throw new GatewayError('bad_request', 'the headers filter makes a Host of this request that is none')
  x.upstreamHost = host
}

function applyEdits(edits: Edits, headers: HeaderBlock, x: Exchange): void {
  const { removed, names, values } = edits
  for (let i = 0; i < removed.length; i++) headers.remove(removed[i] as string)
  for (let i = 0; i < names.length; i++) headers.add(names[i] as string, renderTemplate(values[i] as Template, x))
}

function compileEdits(config: HeaderEditConfig, isRequest: boolean): Edits | null {
  const removed = config.remove.map((name) => name.toLowerCase())
  const names: string[] = []
  const values: Template[] = []
  let host: Template | null = null
  for (const [name, value] of Object.entries(config.set)) {
    const template = compileValue(name, value, isRequest)
    if (isRequest && name.toLowerCase() === 'host') {
      if (typeof template === 'string' && !isHost(template)) throw new Error(`header host: ${JSON.stringify(value)} is not a host`)
      host = template
      continue
    }
    removed.push(name.toLowerCase())
    names.push(name)
    values.push(template)
  }
  for (const [name, value] of Object.entries(config.add)) {
    names.push(name)
    values.push(compileValue(name, value, isRequest))
  }
  if (removed.length === 0 && names.length === 0 && host === null) return null
  return { removed: [...new Set(removed)], names, values, host }
}

function compileValue(name: string, value: string, isRequest: boolean): Template {
  let template: Template
  try {
    template = compileTemplate(value)
  } catch (error) {
    throw new Error(`header ${name}: ${(error as Error).message}`, { cause: error })
  }
  const names = typeof template === 'string' ? [] : template.map((part) => (part.kind === 'placeholder' ? part.name : ''))
  // A service is chosen behind the filters, one for each request.
  if (isRequest && names.includes('service')) throw new Error(`header ${name}: \${service} is known in the response only`)
  return template
}
