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
