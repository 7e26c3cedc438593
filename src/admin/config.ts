import { redactSecrets } from '../observe/redact.ts'
import { replyJson } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const config: AdminResource = {
  path: '/config',
  method: 'GET',
  summary: 'the configuration now running, without secrets',
  handle: (source) => replyJson(redactSecrets(source.config())),
}
