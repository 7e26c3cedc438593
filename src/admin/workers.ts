import { replyJson } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const workers: AdminResource = {
  path: '/workers',
  method: 'GET',
  summary: 'the worker threads and their state',
  handle: (source) => replyJson({ workers: source.workers() }),
}
