/**
 * Every way Sluice itself can fail a request, in one table: docs/errors.md is generated from it and a test holds both together.
 * `http` is the status the client gets; `source` says whose fault it is; `flag` is the short mark in the access log.
 * Codes are never reused or renamed once released.
 */
export interface ErrorKind {
  http: number
  source: 'downstream' | 'upstream' | 'gateway'
  flag: string
  title: string
  doc: string
}

export const ERROR_KINDS = {
  bad_request: {
    http: 400,
    source: 'downstream',
    flag: 'DPE',
    title: 'Bad Request',
    doc: 'The request is not valid HTTP, or its framing is in doubt. The connection is closed.',
  },
  route_not_found: { http: 404, source: 'downstream', flag: 'NR', title: 'Not Found', doc: 'No route matches the request.' },
  method_not_allowed: {
    http: 405,
    source: 'downstream',
    flag: 'NR',
    title: 'Method Not Allowed',
    doc: 'The method cannot be served here (CONNECT on a listener that is not a forward proxy).',
  },
  request_timeout: {
    http: 408,
    source: 'downstream',
    flag: 'DT',
    title: 'Request Timeout',
    doc: 'The client did not send its request head or body in time.',
  },
  body_too_large: {
    http: 413,
    source: 'downstream',
    flag: 'LB',
    title: 'Content Too Large',
    doc: 'The request body is larger than the limit.',
  },
  uri_too_long: { http: 414, source: 'downstream', flag: 'LU', title: 'URI Too Long', doc: 'The request target is longer than the limit.' },
  expectation_failed: {
    http: 417,
    source: 'downstream',
    flag: 'DPE',
    title: 'Expectation Failed',
    doc: 'The Expect field names something other than 100-continue.',
  },
  misdirected_request: {
    http: 421,
    source: 'downstream',
    flag: 'DPE',
    title: 'Misdirected Request',
    doc: 'The request is for a host this listener does not serve.',
  },
  upgrade_required: {
    http: 426,
    source: 'downstream',
    flag: 'DPE',
    title: 'Upgrade Required',
    doc: 'The route only serves another protocol.',
  },
  rate_limited: {
    http: 429,
    source: 'downstream',
    flag: 'RL',
    title: 'Too Many Requests',
    doc: 'A rate limit is exhausted. Retry-After says when a request may pass again.',
  },
  head_too_large: {
    http: 431,
    source: 'downstream',
    flag: 'LH',
    title: 'Request Header Fields Too Large',
    doc: 'The request head is larger than the limit, or has too many fields.',
  },
  client_closed: {
    http: 499,
    source: 'downstream',
    flag: 'DC',
    title: 'Client Closed Request',
    doc: 'The client went away before the response was complete. Only seen in logs and metrics.',
  },
  internal: {
    http: 500,
    source: 'gateway',
    flag: 'IE',
    title: 'Internal Server Error',
    doc: 'A defect in Sluice or in a custom filter. The program log has the details.',
  },
  not_implemented: {
    http: 501,
    source: 'downstream',
    flag: 'DPE',
    title: 'Not Implemented',
    doc: 'The request uses a transfer coding or method Sluice does not implement.',
  },
  connect_failed: {
    http: 502,
    source: 'upstream',
    flag: 'UF',
    title: 'Bad Gateway',
    doc: 'The connection to the endpoint was refused or failed.',
  },
  upstream_reset: {
    http: 502,
    source: 'upstream',
    flag: 'UC',
    title: 'Bad Gateway',
    doc: 'The endpoint closed the connection before a complete response head.',
  },
  upstream_protocol: {
    http: 502,
    source: 'upstream',
    flag: 'UPE',
    title: 'Bad Gateway',
    doc: 'The endpoint answered with something that is not valid HTTP.',
  },
  upstream_truncated: {
    http: 502,
    source: 'upstream',
    flag: 'UT',
    title: 'Bad Gateway',
    doc: 'The endpoint broke off inside the response body; the client connection is broken off too.',
  },
  no_endpoint: {
    http: 503,
    source: 'upstream',
    flag: 'UH',
    title: 'Service Unavailable',
    doc: 'The service has no endpoint that may be used.',
  },
  pool_overflow: {
    http: 503,
    source: 'gateway',
    flag: 'UO',
    title: 'Service Unavailable',
    doc: 'All connections to the endpoint are busy and the waiting queue is full, or the wait took too long.',
  },
  breaker_open: {
    http: 503,
    source: 'upstream',
    flag: 'CB',
    title: 'Service Unavailable',
    doc: 'The circuit breaker of the service is open: too many requests failed, and it is left alone for a while.',
  },
  overloaded: {
    http: 503,
    source: 'gateway',
    flag: 'OL',
    title: 'Service Unavailable',
    doc: 'The listener has reached its connection limit or is shutting down.',
  },
  connect_timeout: {
    http: 504,
    source: 'upstream',
    flag: 'UF',
    title: 'Gateway Timeout',
    doc: 'The endpoint did not accept the connection in time.',
  },
  upstream_timeout: {
    http: 504,
    source: 'upstream',
    flag: 'UTO',
    title: 'Gateway Timeout',
    doc: 'The service did not answer within the request or per-try timeout.',
  },
  version_not_supported: {
    http: 505,
    source: 'downstream',
    flag: 'DPE',
    title: 'HTTP Version Not Supported',
    doc: 'The request names an HTTP version this listener does not speak.',
  },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERROR_KINDS

/** A request failed in a known way. Thrown only off the hot path; the data path passes ErrorCode values. */
export class GatewayError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'GatewayError'
    this.code = code
  }
}
