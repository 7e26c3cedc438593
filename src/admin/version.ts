import { replyJson } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const version: AdminResource = {
  path: '/version',
  method: 'GET',
  summary: 'what is running',
  handle: (source) => replyJson(source.version()),
}
