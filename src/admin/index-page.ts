import { replyText } from './reply.ts'
import type { AdminResource } from './resource.ts'

/** The start page: what there is to ask for. */
export function createIndexPage(resources: readonly AdminResource[]): AdminResource {
  const lines = resources.map(({ method, path, summary }) => `  ${method.padEnd(4)} ${path.padEnd(9)}  ${summary}\n`)
  const body = `Sluice admin\n\n${lines.join('')}`
  return { path: '/', method: 'GET', summary: 'this page', handle: () => replyText(body) }
}
