/** What a route match looks at. The Exchange implements it; nothing here allocates until asked. */
export interface MatchInput {
  /** Lower case, without port; '' when the request named none. */
  readonly host: string
  readonly method: string
  /** Normalised path, without query, starts with '/'. */
  readonly path: string
  /** Query without '?', '' when there is none. */
  readonly query: string
  /** Client address (after trusted proxies), as text. */
  readonly clientIp: string
  /** First value of a request field; name in lower case. */
  header(name: string): string | undefined
}

/** The outcome: the matched value and the parameters of a path template (null when there are none). */
export interface Match<T> {
  readonly route: T
  readonly params: Record<string, string> | null
}
