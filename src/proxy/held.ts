import type { Exchange } from '../exchange/exchange.ts'

/** A body that a filter asked to see whole is complete, too large, or will never come: whoever waits is told, once. */

export function heldRequestReady(x: Exchange): void {
  const { onHeldRequest } = x
  if (onHeldRequest === null) return
  x.onHeldRequest = null
  onHeldRequest(x)
}

export function heldResponseReady(x: Exchange): void {
  const { onHeldResponse } = x
  if (onHeldResponse === null) return
  x.onHeldResponse = null
  onHeldResponse(x)
}

/** What was held of a response goes out. */
export function sendHeldResponse(x: Exchange, pieces: readonly Buffer[]): void {
  x.heldResponse = null
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Buffer
    if (piece.length === 0) continue
    const to = x.tunnel === null ? piece.length : x.tunnel.onResponse(piece, 0, piece.length)
    x.responseBytes += to
    x.downstream.sendBody(piece, 0, to, false)
  }
  x.tunnel?.afterResponse()
}
