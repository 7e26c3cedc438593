/**
 * What a custom filter in a `sluice.config.ts` sees: types only, so that `defineConfig` can give them to an editor. The filter layer
 * implements them (src/filter/custom.ts). docs/filters.md tells the same with examples.
 */

/**
 * A filter of the user's own. It may change the request, then either answers with `x.respond(...)` or passes on with `next()`; after
 * `await next()` it may change the response. What it throws is answered with 500 and written to the program log.
 */
export type FilterFunction = (x: FilterContext, next: Next) => void | Promise<void>

/**
 * Passes the request on to the filters behind and the service. Resolves when the head of the response is there and the filters behind
 * are done with it; the response may be one of Sluice's own errors, such as a 502. Call it once. Rejects when the exchange ends
 * before: the client left, or a filter behind failed.
 */
export type Next = () => Promise<void>

/** One request and its response. */
export interface FilterContext {
  readonly request: FilterRequest
  /** The response. Throws before `await next()` has returned. */
  readonly response: FilterResponse
  /** The parameters of the route's path template, percent-decoded; empty when it has none. */
  readonly params: Readonly<Record<string, string>>
  /** The name of the route. */
  readonly route: string
  /** What the custom filters of one exchange keep for each other. */
  readonly state: Map<unknown, unknown>
  /** Aborted when the exchange ends while the filter still works on it: the client left, or the request timed out. */
  readonly signal: AbortSignal
  /**
   * Answers here. Before `next()` the request goes no further; after `await next()` this response replaces the one that came. It is
   * sent when the filter returns. Throws a RangeError on a status outside 200..599 and a TypeError on a header that cannot be sent.
   */
  respond(status: number, body?: BodyValue): void
  respond(response: RespondOptions): void
}

export interface RespondOptions {
  /** Default 200. */
  status?: number
  headers?: Readonly<Record<string, string | number | readonly string[]>>
  body?: BodyValue
}

/** Text is sent as UTF-8, bytes as they are, any other object as JSON. A `Content-Type` that fits is added when there is none. */
export type BodyValue = string | Uint8Array | object | null

/** The request, as the next filter or the service will get it. It can be changed until `next()` is called. */
export interface FilterRequest {
  readonly method: string
  /** What the client asked for: lower case, without port. What goes upstream as Host is `headers.set('host', ...)`. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  /** Address of the client, after trusted proxies. */
  readonly clientIp: string
  /** The request id; '' when the listener makes none. */
  readonly id: string
  /** Normalised, percent-encoded, without the query. Set: characters that cannot be sent are encoded; a TypeError when it is no path. */
  path: string
  /** Without '?'; '' when there is none. Set: characters that cannot be sent are encoded, '' removes it. */
  query: string
  /** The query taken apart; changes to it change the request. */
  readonly searchParams: URLSearchParams
  readonly headers: FilterHeaders
  /** The request has a body, or may have one of unknown length. */
  readonly hasBody: boolean
  /**
   * The whole body as it was sent, collected in memory; it is still passed on. Without this call bodies stream by. Default at most
   * 1 MiB (1048576); more rejects, and is answered with 413 unless caught.
   */
  body(maxBytes?: number): Promise<Buffer>
  /** The body as UTF-8 text, with its `Content-Encoding` (gzip, deflate, br, zstd) undone. The limit holds for both forms. */
  text(maxBytes?: number): Promise<string>
  /** The body as JSON, from `text()`. Rejects with a SyntaxError when it is none. */
  json<T = unknown>(maxBytes?: number): Promise<T>
  /** Replaces the body. Length is set, `Content-Encoding` and digests are dropped. */
  setBody(body: BodyValue): void
}

/** The response, as the client will get it. It can be changed until the filter returns. */
export interface FilterResponse {
  /** Set: from 200 to 599. */
  status: number
  readonly headers: FilterHeaders
  /** False for responses to HEAD and for 204 and 304, which never have a body. */
  readonly hasBody: boolean
  /** As for requests; more than `maxBytes` rejects, and is answered with 502 unless caught. */
  body(maxBytes?: number): Promise<Buffer>
  text(maxBytes?: number): Promise<string>
  json<T = unknown>(maxBytes?: number): Promise<T>
  /**
   * Replaces the body. Length is set; `ETag`, `Accept-Ranges`, `Content-Encoding` and digests, which spoke of the old one, are dropped.
   * Where there is no body (see `hasBody`) none is sent. Throws for a 206, which holds only a part.
   */
  setBody(body: BodyValue): void
}

/** Header fields. Names are compared without case. Names and values that cannot be sent throw a TypeError. */
export interface FilterHeaders extends Iterable<[string, string]> {
  /** The first value. */
  get(name: string): string | undefined
  /** Every value, in order. */
  getAll(name: string): string[]
  has(name: string): boolean
  /** Replaces every field of this name by one. */
  set(name: string, value: string | number): void
  /** Adds a field beside those of the same name. */
  add(name: string, value: string | number): void
  /** Removes every field of this name. */
  remove(name: string): void
  entries(): IterableIterator<[string, string]>
}
