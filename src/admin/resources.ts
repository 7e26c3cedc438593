import { config } from './config.ts'
import { healthz } from './healthz.ts'
import { createIndexPage } from './index-page.ts'
import { metrics } from './metrics.ts'
import { readyz } from './readyz.ts'
import { reload } from './reload.ts'
import type { AdminResource } from './resource.ts'
import { services } from './services.ts'
import { version } from './version.ts'
import { workers } from './workers.ts'

const listed: readonly AdminResource[] = [healthz, readyz, metrics, version, config, reload, workers, services]

/** Everything the admin listener serves, by path. The one visible list. */
export const RESOURCES: ReadonlyMap<string, AdminResource> = new Map(
  [createIndexPage(listed), ...listed].map((resource) => [resource.path, resource]),
)
