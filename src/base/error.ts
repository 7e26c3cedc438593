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
  address_denied: {
    http: 403,
    source: 'downstream',
    flag: 'AD',
    title: 'Forbidden',
    doc: 'The address of the client is not allowed on this listener. The connection is closed.',
  },
  proxy_header_invalid: {
    http: 400,
    source: 'downstream',
    flag: 'PH',
    title: 'Bad Request',
    doc: 'The PROXY protocol header is missing, malformed, or comes from an address that may not send one. The connection is closed.',
  },
  destination_denied: {
    http: 403,
    source: 'downstream',
    flag: 'DD',
    title: 'Forbidden',
    doc: 'The host, port or resolved address may not be reached through this forward proxy.',
  },
  proxy_auth_required: {
    http: 407,
    source: 'downstream',
    flag: 'PA',
    title: 'Proxy Authentication Required',
    doc: 'The forward proxy asks for a user name and a password, and got none or others.',
  },
  idle_timeout: {
    http: 408,
    source: 'downstream',
    flag: 'IT',
    title: 'Request Timeout',
    doc: 'No byte moved on a TCP connection for its idle timeout, or its lifetime is over. The connection is closed.',
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
    doc: 'The request came over TLS for one host and is for another, which has a certificate of its own.',
  },
  upgrade_refused: {
    http: 403,
    source: 'downstream',
    flag: 'UR',
    title: 'Forbidden',
    doc: 'The request asks for a WebSocket, and the route takes none, or none from this `Origin`.',
  },
  websocket_overflow: {
    http: 503,
    source: 'gateway',
    flag: 'WO',
    title: 'Service Unavailable',
    doc: 'The route, or this client on it, has as many open WebSockets as it may have.',
  },
  upgrade_required: {
    http: 426,
    source: 'downstream',
    flag: 'DPE',
    title: 'Upgrade Required',
    doc: 'The route only serves WebSockets, or the version of the WebSocket protocol is not 13.',
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
    doc: 'The request uses a transfer coding, a method, or a protocol (`:protocol` of HTTP/2) Sluice does not implement.',
  },
  connect_failed: {
    http: 502,
    source: 'upstream',
    flag: 'UF',
    title: 'Bad Gateway',
    doc: 'The connection to the endpoint was refused or failed.',
  },
  upstream_tls: {
    http: 502,
    source: 'upstream',
    flag: 'UTLS',
    title: 'Bad Gateway',
    doc: 'The TLS handshake with the endpoint failed, or its certificate is not believed. The program log has the reason.',
  },
  upstream_reset: {
    http: 502,
    source: 'upstream',
    flag: 'UC',
    title: 'Bad Gateway',
    doc: 'The endpoint closed the connection before a complete response head.',
  },
  upstream_refused: {
    http: 503,
    source: 'upstream',
    flag: 'URF',
    title: 'Service Unavailable',
    doc: 'The endpoint refused the request before it began with it (HTTP/2 REFUSED_STREAM, or GOAWAY). It is safe to send it again.',
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
  concurrency_limit: {
    http: 503,
    source: 'gateway',
    flag: 'CL',
    title: 'Service Unavailable',
    doc: 'As many requests run as the concurrency limit of the service or route allows, and no more of this importance may wait.',
  },
  queue_timeout: {
    http: 503,
    source: 'gateway',
    flag: 'QT',
    title: 'Service Unavailable',
    doc: 'The request waited for a place under the concurrency limit of the service or route, and got none in time.',
  },
  load_shed: {
    http: 503,
    source: 'gateway',
    flag: 'LS',
    title: 'Service Unavailable',
    doc: 'The gateway itself is overloaded and refuses requests, those of less important routes first.',
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
  loop_detected: {
    http: 508,
    source: 'downstream',
    flag: 'LD',
    title: 'Loop Detected',
    doc: 'The request has been through this forward proxy before, or asks it for a tunnel to itself.',
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
