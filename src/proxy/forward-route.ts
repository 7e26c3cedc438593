import net from 'node:net'
import { type ErrorCode, GatewayError } from '../base/error.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { splitAbsoluteForm } from '../exchange/target.ts'
import { priorityLevel } from '../limit/priority.ts'
import type { RouteTable } from '../route/table.ts'
import type { MatchInput } from '../route/types.ts'
import { refuseAgain } from './forward-loop.ts'
import { type Destination, parseDestination } from './forward-policy.ts'
import type { ForwardRuntime } from './forward-runtime.ts'
import type { ForwardService } from './forward-service.ts'
import type { CompiledRoute } from './runtime.ts'

/** Why a request is not served, with what the client is told. */
export interface Refusal {
  readonly code: ErrorCode
  readonly detail: string
}

const DENIED_ADDRESS = 'the address of this host may not be reached through this proxy'

/** Whether this client may use the proxy at all. Looks at Proxy-Authorization, so it must run before hop-by-hop fields are removed. */
export function refuseClient(x: Exchange, runtime: ForwardRuntime): Refusal | null {
  const { allow, deny, auth } = runtime
  if ((deny?.has(x.remoteAddress) ?? false) || !(allow?.has(x.remoteAddress) ?? true)) {
    return { code: 'address_denied', detail: 'this address may not use this proxy' }
  }
  if (auth === null || auth.accepts(x.request.headers.get('proxy-authorization'))) return null
  x.errorHeaders = ['Proxy-Authenticate', auth.challenge]
  return { code: 'proxy_auth_required', detail: 'this proxy asks for a user name and a password' }
}

/** With a parent, names are resolved and judged there. An address that stands in the request can be judged here. */
export function refuseBeforeParent({ host }: Destination, { config, policy }: ForwardRuntime): string | null {
  return config.parent === null || net.isIP(host) === 0 || policy.isAddressAllowed(host) ? null : DENIED_ADDRESS
}

/**
 * Resolves a destination to the addresses of it that may be reached, in the order of the resolver. They are what is connected to: the name
 * is not looked up again, so nobody can let it point elsewhere in between. `done` is called before this returns for an address.
 */
export function resolveDestination(
  { host }: Destination,
  runtime: ForwardRuntime,
  done: (addresses: readonly string[], refusal: Refusal | null) => void,
): void {
  const decide = (found: readonly string[]) => {
    const allowed = found.filter((address) => runtime.policy.isAddressAllowed(address))
    done(allowed, allowed.length === 0 ? { code: 'destination_denied', detail: DENIED_ADDRESS } : null)
  }
  if (net.isIP(host) !== 0) return decide([host])
  runtime.lookups.lookup(host, { all: true }, (error, found) => {
    if (error !== null || !Array.isArray(found) || found.length === 0) {
      done([], { code: 'connect_failed', detail: 'the name of the host could not be resolved' })
    } else decide(found.map(({ address }) => address))
  })
}

/**
 * The one route of a forward proxy: every request matches it, and its filter decides where the request goes. Requests that are refused
 * take it as well, so that they are counted and logged like any other.
 */
export class ForwardRoute implements RouteTable<CompiledRoute>, Filter {
  readonly name = 'destination'
  readonly onResponse = null
  readonly onFinish = null
  #route: CompiledRoute | null = null
  #service: ForwardService | null = null
  #runtime: ForwardRuntime
  /** Of the request that is being matched: its filter runs before anything else is. */
  #refusal: Refusal | null = null

  constructor(runtime: ForwardRuntime) {
    this.#runtime = runtime
  }

  get route(): CompiledRoute {
    return this.#route as CompiledRoute
  }

  /** The settings and the service for what comes from now on. Call once before anything comes. */
  use(runtime: ForwardRuntime, service: ForwardService): void {
    this.#runtime = runtime
    this.#service = service
    const { name } = service
    this.#route = {
      name,
      // Nothing of the configuration of routes applies here.
      config: { name, upgrades: [] as string[] } as CompiledRoute['config'],
      filters: [this],
      single: service,
      weighted: null,
      answer: null,
      maxBodyBytes: null,
      requestMs: null,
      perTryMs: null,
      importance: priorityLevel('normal'),
      webSocket: null,
      isUpgradeOnly: false,
      limit: null,
      fallback: null,
      fallbacks: null,
    }
  }

  match(input: MatchInput): { route: CompiledRoute; params: null } {
    // The handler matches exchanges and nothing else.
    const x = input as Exchange
    this.#refusal = refuseClient(x, this.#runtime) ?? refuseAgain(x)
    // Who was before us is the client's to say, and the destination's to believe.
    x.isTrusted = true
    return { route: this.route, params: null }
  }

  readonly onRequest = (x: Exchange): void | Promise<void> => {
    const refusal = this.#refusal
    this.#refusal = null
    if (refusal !== null) return x.reject(refusal.code, refusal.detail)
    const { request } = x
    const parts = splitAbsoluteForm(request.target)
    if (parts === null) return x.reject('bad_request', 'this is a proxy: it takes requests with a complete URL, and CONNECT')
    if (/^https:/i.test(request.target)) return x.reject('bad_request', 'a proxy is asked for https with CONNECT')
    const destination = parseDestination(parts.authority, 80)
    if (destination === null) return x.reject('bad_request', 'the host or port of the URL is not valid')
    const problem = this.#runtime.policy.refuses(destination, false) ?? refuseBeforeParent(destination, this.#runtime)
    if (problem !== null) return x.reject('destination_denied', problem)
    this.#appendClient(x)
    const { parent } = this.#runtime.config
    if (parent === null) return this.#goDirectly(x, destination, parts.rest)
    const { parentAuthorization } = this.#runtime
    if (parentAuthorization !== null) request.headers.set('Proxy-Authorization', parentAuthorization)
    // To a proxy, the target is the complete URL as it came.
    x.targetChanged = false
    x.hashKey = (this.#service as ForwardService).use([parent.host], parent.port)
  }

  #goDirectly(x: Exchange, destination: Destination, rest: string): void | Promise<void> {
    // As it came: what a path means is for the destination to say.
    const question = rest.indexOf('?')
    const path = question === -1 ? rest : rest.slice(0, question)
    if (x.path !== '*') x.setPath(path === '' ? '/' : path, question === -1 ? null : rest.slice(question + 1))
    let refused: Refusal | null = null
    let isDone = false
    let settle: ((refusal: Refusal | null) => void) | null = null
    resolveDestination(destination, this.#runtime, (addresses, refusal) => {
      isDone = true
      refused = refusal
      if (refusal === null) x.hashKey = (this.#service as ForwardService).use(addresses, destination.port)
      settle?.(refusal)
    })
    if (isDone) {
      const { code, detail } = (refused as Refusal | null) ?? { code: null, detail: '' }
      if (code !== null) x.reject(code, detail)
      return
    }
    return new Promise((resolve, reject) => {
      settle = (refusal) => (refusal === null ? resolve() : reject(new GatewayError(refusal.code, refusal.detail)))
    })
  }

  #appendClient(x: Exchange): void {
    if (!this.#runtime.config.forwardedFor) return
    const { headers } = x.request
    const earlier = headers.getAll('x-forwarded-for').join(', ')
    headers.set('X-Forwarded-For', earlier === '' ? x.remoteAddress : `${earlier}, ${x.remoteAddress}`)
  }
}
