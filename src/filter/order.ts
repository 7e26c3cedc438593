import type { FilterConfig, FunctionRef, RateLimitFilterConfig } from '../config/types.ts'
import type { Filter } from '../exchange/filter.ts'
import type { SharedTable } from '../limit/shared-table.ts'
import { createCustomFilter } from './custom.ts'
import { createGrpcJsonFilter } from './grpc-json.ts'
import { createGrpcWebFilter } from './grpc-web.ts'
import { createHeadersFilter } from './headers.ts'
import { createRateLimitFilter } from './rate-limit.ts'
import { createRedirectFilter } from './redirect.ts'
import { createRespondFilter } from './respond.ts'
import { createPrefixRewriteFilter, createRewriteFilter } from './rewrite.ts'
import { createStripPrefixFilter } from './strip-prefix.ts'

/** What filters need of the worker that makes them. */
export interface FilterEnvironment {
  /** The buckets of a rate limit: its own, or those of its name. */
  readonly rateLimit: (config: RateLimitFilterConfig, route: string, index: number) => SharedTable
  /** What a `sluice.config.ts` holds where a custom filter was found. */
  readonly functions: (ref: FunctionRef) => unknown
  /** What stands in a descriptor file of the configuration, in base64. */
  readonly descriptors: (path: string) => string
  /** A FileDescriptorSet of what the service of the route says of itself. */
  readonly reflect: (services: readonly string[] | null) => Promise<Uint8Array>
  /** A filter failed where no request can be answered with it any more: one line for the program log. */
  readonly onDefect: (error: unknown, where: string) => void
}

/** And where the filter stands. */
interface FilterPlace extends FilterEnvironment {
  readonly route: string
  readonly index: number
}

type FilterFactory<K extends FilterConfig['kind']> = (config: Extract<FilterConfig, { kind: K }>, env: FilterPlace) => Filter

/**
 * Every kind of filter there is. To add one: its config in config/types.ts and config/filter-schema.ts, one file here, one line below,
 * one section in docs/filters.md.
 *
 * The order is the user's: filters run as they are written in the route, a policy standing for its filters in place; responses pass
 * them in reverse. Sluice imposes nothing among them. What it does itself is before all of them (target normalised, client resolved,
 * route matched, hop-by-hop fields stripped, forwarding fields and request id written) or behind them (endpoint picked, framing written).
 */
const FACTORIES: { readonly [K in FilterConfig['kind']]: FilterFactory<K> } = {
  headers: (config) => createHeadersFilter(config),
  rewrite: (config) => createRewriteFilter(config.from, config.to),
  'rewrite-prefix': (config) => createPrefixRewriteFilter(config.prefix, config.to),
  'strip-prefix': (config) => createStripPrefixFilter(config.prefix),
  redirect: (config) => createRedirectFilter(config.redirect),
  respond: (config) => createRespondFilter(config.respond),
  'rate-limit': (config, env) => createRateLimitFilter(config, env.rateLimit(config, env.route, env.index)),
  'grpc-web': () => createGrpcWebFilter(),
  'grpc-json': (config, env) => createGrpcJsonFilter(config, env),
  custom: (config, env) => createCustomFilter(config.ref.name, env.functions(config.ref), env),
}

/**
 * The filters of one route, compiled; null when there are none, or none that does anything. Throws an Error when one cannot be made,
 * with its number in the list.
 */
export function createFilters(configs: readonly FilterConfig[], env: FilterEnvironment, route = ''): readonly Filter[] | null {
  const filters: Filter[] = []
  for (let i = 0; i < configs.length; i++) {
    const filter = createFilter(configs[i] as FilterConfig, { ...env, route, index: i })
    if (filter.onRequest !== null || filter.onResponse !== null || filter.onFinish !== null) filters.push(filter)
  }
  return filters.length === 0 ? null : filters
}

function createFilter(config: FilterConfig, env: FilterPlace): Filter {
  try {
    const create = FACTORIES[config.kind] as FilterFactory<FilterConfig['kind']>
    return create(config, env)
  } catch (error) {
    throw new Error(`filter ${env.index + 1} (${config.kind}): ${(error as Error).message}`, { cause: error })
  }
}
