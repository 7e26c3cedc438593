import type { HistogramScale, MetricType } from './metrics-types.ts'

/**
 * Every metric Sluice has, in one table. docs/metrics.md is made from it and a test holds both together. Names use base units
 * and end in `_total` when they only grow; every label has a bounded set of values: names from the configuration, codes from a
 * table, never a path or the address of a client. A name is never reused with another meaning.
 */
export interface MetricDefinition {
  readonly name: string
  readonly type: MetricType
  readonly labels: readonly string[]
  readonly help: string
  /** Only for histograms; default seconds. */
  readonly scale?: HistogramScale
}

export const METRICS = {
  requests: {
    name: 'sluice_requests_total',
    type: 'counter',
    labels: ['listener', 'route', 'code'],
    help: 'Requests finished, by the status code the client got (499: it went away before).',
  },
  requestDuration: {
    name: 'sluice_request_duration_seconds',
    type: 'histogram',
    labels: ['route'],
    help: 'Time from the first byte of the request head to the last byte of the response.',
  },
  requestBytes: {
    name: 'sluice_request_bytes_total',
    type: 'counter',
    labels: ['route'],
    help: 'Request body bytes received from clients.',
  },
  responseBytes: {
    name: 'sluice_response_bytes_total',
    type: 'counter',
    labels: ['route'],
    help: 'Response body bytes sent to clients.',
  },
  grpcCalls: {
    name: 'sluice_grpc_calls_total',
    type: 'counter',
    labels: ['route', 'grpc_status'],
    help: 'Calls of gRPC finished, by the name of the status the client got (CANCELLED: it went away before).',
  },
  grpcMessages: {
    name: 'sluice_grpc_messages_total',
    type: 'counter',
    labels: ['route', 'direction'],
    help: 'Messages of gRPC of finished calls, received from clients (`request`) and from services (`response`).',
  },
  requestsInFlight: {
    name: 'sluice_requests_in_flight',
    type: 'gauge',
    labels: ['listener'],
    help: 'Requests that have begun and not finished.',
  },
  gatewayErrors: {
    name: 'sluice_gateway_errors_total',
    type: 'counter',
    labels: ['code'],
    help: 'Requests that Sluice itself failed or that ended early, by error code (docs/errors.md).',
  },
  upstreamAttempts: {
    name: 'sluice_upstream_attempts_total',
    type: 'counter',
    labels: ['service', 'outcome'],
    help: 'Attempts to get a response from an endpoint, by outcome: success, failure, or neutral (the client went away).',
  },
  upstreamAttemptDuration: {
    name: 'sluice_upstream_attempt_duration_seconds',
    type: 'histogram',
    labels: ['service'],
    help: 'Time from picking an endpoint to the end of its response, or to its failure.',
  },
  upstreamErrors: {
    name: 'sluice_upstream_errors_total',
    type: 'counter',
    labels: ['service', 'code'],
    help: 'Attempts that failed, by error code (docs/errors.md).',
  },
  upstreamRetries: {
    name: 'sluice_upstream_retries_total',
    type: 'counter',
    labels: ['service', 'reason'],
    help: 'Failed attempts by what followed: the failure that was repeated, or the rule that forbade it (docs/config.md, retry).',
  },
  webSocketsOpen: {
    name: 'sluice_websockets_open',
    type: 'gauge',
    labels: ['route'],
    help: 'WebSockets now open.',
  },
  webSocketFrames: {
    name: 'sluice_websocket_frames_total',
    type: 'counter',
    labels: ['route', 'direction'],
    help: 'WebSocket frames received from clients and sent to them, control frames included.',
  },
  upstreamHedges: {
    name: 'sluice_upstream_hedges_total',
    type: 'counter',
    labels: ['service', 'result'],
    help: 'Backup requests sent, and what became of them: won or lost against the first attempt, failed (one of both), or not sent: budget-exhausted, no-endpoint.',
  },
  fallbacks: {
    name: 'sluice_fallbacks_total',
    type: 'counter',
    labels: ['service', 'cause'],
    help: 'Requests answered by a fallback instead of their service, by cause.',
  },
  concurrencyLimit: {
    name: 'sluice_concurrency_limit',
    type: 'gauge',
    labels: ['scope', 'name'],
    help: 'Requests that may run at the same time now, over all workers: the configured number, or what an adaptive limit has found. `scope` is service or route.',
  },
  concurrencyInFlight: {
    name: 'sluice_concurrency_in_flight',
    type: 'gauge',
    labels: ['scope', 'name'],
    help: 'Requests that hold a place under a concurrency limit.',
  },
  concurrencyWaiting: {
    name: 'sluice_concurrency_waiting',
    type: 'gauge',
    labels: ['scope', 'name'],
    help: 'Requests that wait for a place under a concurrency limit.',
  },
  shed: {
    name: 'sluice_shed_total',
    type: 'counter',
    labels: ['scope', 'name', 'reason', 'importance'],
    help: 'Requests turned away under load, by the service or route whose limit it was (`scope` gateway: all of a worker), and why: queue-full, displaced (a more important one took its place in the queue), wait-too-long, adaptive, overload, or, while it waited, client-left or request-timeout.',
  },
  upstreamConnections: {
    name: 'sluice_upstream_connections',
    type: 'gauge',
    labels: ['service', 'state'],
    help: 'Connections to endpoints, by state: idle in the pool, or busy.',
  },
  healthChecks: {
    name: 'sluice_health_checks_total',
    type: 'counter',
    labels: ['service', 'result'],
    help: 'Active health checks, by result: pass, fail, or inconclusive (the gateway itself could not make the check).',
  },
  healthCheckDuration: {
    name: 'sluice_health_check_duration_seconds',
    type: 'histogram',
    labels: ['service'],
    help: 'Time from sending an active health check to its end.',
  },
  endpointHealth: {
    name: 'sluice_endpoint_health',
    type: 'gauge',
    labels: ['service', 'endpoint'],
    help: 'What active health checks say of an endpoint: 1 healthy, 0 unhealthy, -1 not known yet. Only for services that have them.',
  },
  endpointEjections: {
    name: 'sluice_endpoint_ejections_total',
    type: 'counter',
    labels: ['service', 'reason'],
    help: 'Endpoints taken out of use because of what requests found, by reason: failures, error-rate, or latency.',
  },
  endpointEjected: {
    name: 'sluice_endpoint_ejected',
    type: 'gauge',
    labels: ['service', 'endpoint'],
    help: 'Whether requests have taken an endpoint out of use: 1 or 0.',
  },
  breakerState: {
    name: 'sluice_breaker_state',
    type: 'gauge',
    labels: ['service', 'endpoint'],
    help: 'State of a breaker: 0 closed, 1 half-open (or throttling), 2 open. `endpoint` is empty for that of a whole service.',
  },
  breakerRejected: {
    name: 'sluice_breaker_rejected_total',
    type: 'counter',
    labels: ['service'],
    help: 'Attempts that were not made because a breaker was open.',
  },
  connectionsOpen: {
    name: 'sluice_connections_open',
    type: 'gauge',
    labels: ['listener'],
    help: 'Client connections now open.',
  },
  connectionsAccepted: {
    name: 'sluice_connections_accepted_total',
    type: 'counter',
    labels: ['listener'],
    help: 'Client connections accepted.',
  },
  connectionsRefused: {
    name: 'sluice_connections_refused_total',
    type: 'counter',
    labels: ['listener'],
    help: 'Client connections closed at once because a connection limit was reached.',
  },
  tlsHandshakes: {
    name: 'sluice_tls_handshakes_total',
    type: 'counter',
    labels: ['listener', 'result', 'version', 'resumed'],
    help: 'TLS handshakes of clients: ok, failed, refused (the certificate of the client), timeout, aborted (by the client).',
  },
  tlsCertificateExpiry: {
    name: 'sluice_tls_certificate_expiry_timestamp_seconds',
    type: 'gauge',
    labels: ['listener', 'certificate'],
    help: 'When a certificate in use expires, in seconds since 1970, by the first name it is used for. 0: it is used no more.',
  },
  tcpConnections: {
    name: 'sluice_tcp_connections_total',
    type: 'counter',
    labels: ['listener', 'result'],
    help: 'Connections of TCP listeners that have ended, by result: ok, or an error code (docs/errors.md).',
  },
  tcpBytes: {
    name: 'sluice_tcp_bytes_total',
    type: 'counter',
    labels: ['listener', 'service', 'direction'],
    help: 'Bytes that TCP listeners passed on, by direction: received from clients, or sent to them.',
  },
  udpFlowsOpen: {
    name: 'sluice_udp_flows_open',
    type: 'gauge',
    labels: ['listener'],
    help: 'Flows of UDP listeners now: one for each client address and port.',
  },
  udpFlows: {
    name: 'sluice_udp_flows_total',
    type: 'counter',
    labels: ['listener', 'result'],
    help: 'Flows of UDP listeners that have ended: answered (all replies came), idle, replaced (by a newer flow), closed (with the listener), or an error code (docs/errors.md).',
  },
  udpDatagrams: {
    name: 'sluice_udp_datagrams_total',
    type: 'counter',
    labels: ['listener', 'service', 'direction'],
    help: 'Datagrams of UDP listeners, by direction: received from clients, or sent to them.',
  },
  udpBytes: {
    name: 'sluice_udp_bytes_total',
    type: 'counter',
    labels: ['listener', 'service', 'direction'],
    help: 'Bytes in the datagrams of UDP listeners, by direction: received from clients, or sent to them.',
  },
  udpDropped: {
    name: 'sluice_udp_dropped_total',
    type: 'counter',
    labels: ['listener', 'reason'],
    help: 'Datagrams of UDP listeners that went no further: denied, flow-limit, no-endpoint, breaker-open, unreachable, queue-full, send-failed, draining.',
  },
  http2Streams: {
    name: 'sluice_http2_streams',
    type: 'gauge',
    labels: ['listener'],
    help: 'HTTP/2 streams of clients now open.',
  },
  http2Attacks: {
    name: 'sluice_http2_attacks_total',
    type: 'counter',
    labels: ['listener', 'kind'],
    help: 'Clients that did over HTTP/2 what only an attacker or a broken client does, by kind (docs/http2.md).',
  },
  thriftMessages: {
    name: 'sluice_thrift_messages_total',
    type: 'counter',
    labels: ['listener', 'service', 'type', 'method'],
    help: 'Thrift messages that TCP listeners passed on, by type (call, oneway, reply, exception) and method; rare methods are `other`.',
  },
  tunnelsOpen: {
    name: 'sluice_tunnels_open',
    type: 'gauge',
    labels: ['listener'],
    help: 'Tunnels now: connections of clients that went on in another protocol (CONNECT).',
  },
  tunnelBytes: {
    name: 'sluice_tunnel_bytes_total',
    type: 'counter',
    labels: ['listener', 'direction'],
    help: 'Bytes in tunnels, by direction: received from clients, or sent to them.',
  },
  configReloads: {
    name: 'sluice_config_reloads_total',
    type: 'counter',
    labels: ['result'],
    help: 'Attempts to load a new configuration, by result: applied, or rejected.',
  },
  configLastReload: {
    name: 'sluice_config_last_reload_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When the configuration now running was applied, in seconds since the Unix epoch.',
  },
  configGeneration: {
    name: 'sluice_config_generation',
    type: 'gauge',
    labels: [],
    help: 'Number of the configuration now running; the one read at start is 1.',
  },
  workers: {
    name: 'sluice_workers',
    type: 'gauge',
    labels: [],
    help: 'Worker threads that serve traffic.',
  },
  workerRestarts: {
    name: 'sluice_worker_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Worker threads replaced because they died.',
  },
  workerEventLoopDelay: {
    name: 'sluice_worker_event_loop_delay_seconds',
    type: 'gauge',
    labels: ['worker'],
    help: 'Longest delay of the event loop of a worker in the last 15 seconds.',
  },
  accessLogDropped: {
    name: 'sluice_access_log_dropped_lines_total',
    type: 'counter',
    labels: [],
    help: 'Access log lines thrown away because the log could not be written fast enough, or not at all.',
  },
  metricsOverflow: {
    name: 'sluice_metrics_overflow_total',
    type: 'counter',
    labels: ['metric'],
    help: 'Series counted under the label value "other" because their metric has reached its cap.',
  },
  buildInfo: {
    name: 'sluice_build_info',
    type: 'gauge',
    labels: ['version', 'node_version'],
    help: 'Always 1; the labels say what is running.',
  },
  // The names that every Prometheus client library uses, so that common dashboards work.
  processCpu: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    labels: [],
    help: 'User and system CPU time of the whole process.',
  },
  processResidentMemory: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    labels: [],
    help: 'Resident memory of the whole process.',
  },
  processOpenFds: {
    name: 'process_open_fds',
    type: 'gauge',
    labels: [],
    help: 'Open file descriptors. Absent where the system does not tell.',
  },
  processStartTime: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    labels: [],
    help: 'When the process started, in seconds since the Unix epoch.',
  },
} as const satisfies Record<string, MetricDefinition>
