import type { Socket } from 'node:net'

/**
 * Ends a connection whose other side does not answer. It is reset: an ordinary close would wait for a goodbye that never comes, in the
 * kernel for a minute, and a service that hangs would collect what the checks left.
 */
export function abandon(socket: Socket): void {
  // One that is still connecting would only be reset once it is connected.
  // Node.js resets plain sockets only.
  if (socket.connecting || 'encrypted' in socket) socket.destroy()
  else socket.resetAndDestroy()
}
