import type { AdminReply } from './reply.ts'
import type { AdminSource } from './source.ts'

export type AdminMethod = 'GET' | 'POST'
export type AdminHandler = (source: AdminSource) => AdminReply | Promise<AdminReply>

/** One path of the admin listener. HEAD is answered wherever GET is. */
export interface AdminResource {
  readonly path: string
  readonly method: AdminMethod
  /** One line for the index page. */
  readonly summary: string
  /** True: no token is asked for, because the answer tells nothing and a load balancer's check has none. */
  readonly open?: boolean
  readonly handle: AdminHandler
}
