import type { HeaderBlock } from '../header-block.ts'
import { encodeFields } from './encode.ts'
import { type HeadLimits, MessageHead, parseFields } from './head.ts'

/**
 * Fields that must not come in a trailer (RFC 9110 section 6.5.1): framing, routing, authentication, request modifiers, and what
 * says how to read the content. Somebody behind us might merge them into the head.
 */
export const FORBIDDEN_IN_TRAILERS: readonly string[] = [
  'transfer-encoding',
  'content-length',
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'www-authenticate',
  'cookie',
  'set-cookie',
  'cache-control',
  'max-forwards',
  'range',
  'content-encoding',
  'content-type',
  'content-range',
  'location',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'x-real-ip',
  'x-request-id',
]

/** The trailer fields that may go on, as field lines; '' when there are none, null when the section is not valid. */
export function sanitizeTrailers(text: string, limits: HeadLimits): string | null {
  if (text === '') return ''
  const head = new MessageHead()
  if (parseFields(`${text}\r\n`, 0, head, limits) <= 0) return null
  const headers: HeaderBlock = head.headers
  for (const name of FORBIDDEN_IN_TRAILERS) headers.remove(name)
  return encodeFields(headers)
}
