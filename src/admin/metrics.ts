import { PROMETHEUS_CONTENT_TYPE } from '../observe/prometheus.ts'
import { replyText } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const metrics: AdminResource = {
  path: '/metrics',
  method: 'GET',
  summary: 'metrics of all workers in the Prometheus text format',
  async handle(source) {
    return replyText(await source.metricsText(), PROMETHEUS_CONTENT_TYPE)
  },
}
