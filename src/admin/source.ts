import type { ConfigProblem } from '../config/problem.ts'
import type { ServiceInfo } from './services.ts'

/** What the admin listener asks of the running gateway. gateway.ts provides it; nothing here reaches into the data path. */
export interface AdminSource {
  readiness(): Readiness
  /** All metrics in the Prometheus text format 0.0.4. */
  metricsText(): string | Promise<string>
  /** The configuration now running. Secrets are taken out before it is shown. */
  config(): unknown
  version(): VersionInfo
  /** Reads the configuration again and applies it. Problems in it are the result, not an exception. */
  reload(): Promise<ReloadResult>
  workers(): readonly WorkerInfo[]
  services(): readonly ServiceInfo[]
}

/** Whether new traffic should be sent here; `detail` is a sentence for people. */
export type Readiness = { readonly state: 'ready' } | { readonly state: 'starting' | 'draining' | 'no_worker'; readonly detail: string }

export interface VersionInfo {
  readonly version: string
  /** Version of Node.js. */
  readonly node: string
}

export type ReloadResult =
  | { readonly ok: true; readonly generation: number; readonly changed: boolean }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

export interface WorkerInfo {
  readonly id: number
  readonly state: 'starting' | 'listening' | 'draining' | 'stopped'
  /** How often the worker with this id was replaced because it died. */
  readonly restarts: number
  /** Generation of the configuration the worker uses; null before its first. */
  readonly generation: number | null
}
