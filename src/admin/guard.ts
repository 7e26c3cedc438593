import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { AdminReply } from './reply.ts'
import { replyProblem } from './reply.ts'

/** The fields of a request that decide whether it may be answered. */
export interface GuardedRequest {
  readonly method: string
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly authorization: string | undefined
}

/** null: go on. Otherwise the refusal. */
export type Guard = (request: GuardedRequest, open: boolean) => AdminReply | null

/**
 * With a token, everything but open resources needs it. Without one, the Host field must name the loopback interface: a web
 * page whose name was pointed at 127.0.0.1 (DNS rebinding) still sends its own name there. Either way, a page of another origin
 * may not cause a change.
 */
export function createGuard(token: string | null): Guard {
  const expected = token === null ? null : digest(token)
  return (request, open) => {
    if (expected === null && !isLoopbackHost(hostOf(request.host))) return MISDIRECTED
    if (expected !== null && !open && !hasToken(request.authorization, expected)) return UNAUTHORIZED
    if (request.method === 'POST' && request.origin !== undefined && !isSameHost(request.origin, request.host)) return CROSS_ORIGIN
    return null
  }
}

const MISDIRECTED = replyProblem({
  status: 421,
  title: 'Misdirected Request',
  code: 'misdirected_request',
  detail: 'Without a token this listener only answers requests for localhost or a loopback address.',
})
const UNAUTHORIZED = replyProblem({
  status: 401,
  title: 'Unauthorized',
  code: 'unauthorized',
  detail: 'A bearer token is required.',
  headers: { 'WWW-Authenticate': 'Bearer realm="sluice-admin"' },
})
const CROSS_ORIGIN = replyProblem({
  status: 403,
  title: 'Forbidden',
  code: 'cross_origin',
  detail: 'A page of another origin may not change anything here.',
})

/** Both sides are hashed first, so that neither the length nor the content of the token shows in the time taken. */
function hasToken(authorization: string | undefined, expected: Buffer): boolean {
  const match = /^Bearer +([^\s]+) *$/i.exec(authorization ?? '')
  return match !== null && timingSafeEqual(digest(match[1] ?? ''), expected)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The host of a Host field, without port and brackets; null when there is none or it is malformed. */
function hostOf(field: string | undefined): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(field ?? '')
  return match === null ? null : (match[1] ?? match[2] ?? '').toLowerCase()
}

function isSameHost(origin: string, host: string | undefined): boolean {
  return (
    host !== undefined &&
    (origin.toLowerCase() === `http://${host.toLowerCase()}` || origin.toLowerCase() === `https://${host.toLowerCase()}`)
  )
}

/** True for `localhost`, names below it, 127.0.0.0/8 and ::1, also mapped into IPv6. */
export function isLoopbackHost(host: string | null): boolean {
  if (host === null) return false
  const name = host.endsWith('.') ? host.slice(0, -1) : host
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1') return true
  const v4 = name.startsWith('::ffff:') ? name.slice('::ffff:'.length) : name
  return isIP(v4) === 4 && v4.startsWith('127.')
}
