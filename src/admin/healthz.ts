import { replyText } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const healthz: AdminResource = {
  path: '/healthz',
  method: 'GET',
  summary: '200 while the process lives',
  open: true,
  handle: () => replyText('ok\n'),
}
