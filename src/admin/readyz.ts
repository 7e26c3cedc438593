import { replyProblem, replyText } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const readyz: AdminResource = {
  path: '/readyz',
  method: 'GET',
  summary: '200 while traffic may be sent here, 503 with the reason otherwise',
  open: true,
  handle(source) {
    const readiness = source.readiness()
    if (readiness.state === 'ready') return replyText('ready\n')
    return replyProblem({ status: 503, title: 'Service Unavailable', code: readiness.state, detail: readiness.detail })
  },
}
