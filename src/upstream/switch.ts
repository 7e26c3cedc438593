import { HEADER_UPGRADE } from '../codec/header-id.ts'
import { CONNECTION_UPGRADE, type ResponseHead } from '../codec/http1/head.ts'
import { acceptKeyOf } from '../codec/websocket.ts'
import type { Exchange } from '../exchange/exchange.ts'

/** Why a 101 is not the answer to what was asked; null: it is. A WebSocket must show that it has read the key (RFC 6455 section 4.1). */
export function switchRefusal(x: Exchange, head: ResponseHead): string | null {
  if (x.upgrade === '') return 'the endpoint switched protocols without being asked'
  const { headers, connection } = head
  if ((connection & CONNECTION_UPGRADE) === 0 || headers.getById(HEADER_UPGRADE)?.toLowerCase() !== x.upgrade)
    return 'the endpoint switched to a protocol that was not asked for'
  if (x.upgrade !== 'websocket') return null
  const key = x.request.headers.get('sec-websocket-key') ?? ''
  return headers.get('sec-websocket-accept') === acceptKeyOf(key) ? null : 'the endpoint answered the WebSocket handshake with a wrong key'
}
