import type { TlsTexts } from './config/tls-types.ts'
import type { GatewayConfig } from './config/types.ts'
import type { LogFields, LogLevel } from './observe/log.ts'
import type { MetricsAnnouncement } from './observe/series.ts'
import type { EndpointStateLayout } from './service/endpoint-states.ts'
import type { GovernanceLayout } from './service/governance.ts'

/** What the main thread and its workers say to each other. A configuration reaches all workers in two steps, or none. */

/** Given at the start of the thread. */
export interface WorkerStart {
  worker: number
  workers: number
  /** SharedCounts of open connections, one row for each listener. */
  connections: SharedArrayBuffer
}

/** A configuration to be compiled, with everything the worker cannot know by itself. */
export interface PrepareMessage {
  type: 'prepare'
  generation: number
  config: GatewayConfig
  layout: EndpointStateLayout
  governance: GovernanceLayout
  /** File URL to import custom filters from, or null. */
  module: string | null
  env: Record<string, string | undefined>
  /** Ports already bound by other workers, by listener; a listener that is missing binds the one it is configured with. */
  ports: Record<string, number>
  /** Row of each listener in `connections`. */
  rows: Record<string, number>
  /** What stands in the files of TLS. */
  tls: TlsTexts
  /** 48 bytes, the same for every worker: what one has issued can be resumed at any. */
  ticketKeys: Uint8Array
}

export type ToWorker =
  | PrepareMessage
  | { type: 'commit'; generation: number }
  | { type: 'rollback'; generation: number }
  | { type: 'reopen-logs' }
  /** In place of those before. */
  | { type: 'ticket-keys'; keys: Uint8Array }
  | { type: 'drain'; timeoutMs: number }

export type FromWorker =
  | { type: 'prepared'; generation: number; ports: Record<string, number> }
  | { type: 'refused'; generation: number; message: string }
  | { type: 'committed'; generation: number }
  | { type: 'metrics'; announcement: MetricsAnnouncement }
  | { type: 'log'; level: Exclude<LogLevel, 'silent'>; message: string; fields: LogFields }
  | { type: 'drained' }
