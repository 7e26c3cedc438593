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
