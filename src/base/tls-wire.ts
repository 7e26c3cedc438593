import type net from 'node:net'
import tls from 'node:tls'
import { SECURE_ONREAD, type SecureSocket, Wire, type WireOwner } from './wire.ts'

/** Sockets over TLS for wires. Reads go through `onread` here too: one shared buffer, no event for each piece. */

/** What a server needs to know for a handshake; made once for all of its connections. */
export interface SecureServerOptions {
  readonly secureContext: tls.SecureContext
  /** In order of preference; a client that offers none of them is refused. Empty: whatever it offers is not answered. */
  readonly protocols: readonly string[]
  /** The context for a name the client asks for (SNI), or null for the one above. Null: there is only that one. */
  readonly contextFor: ((serverName: string) => tls.SecureContext | null) | null
  readonly requestCert: boolean
  readonly requireCert: boolean
}

/** Node.js types list neither the handle nor what a TLSSocket does with it. */
interface WithHandle {
  _handle: object | null
}

type SocketOptions = tls.TLSSocketOptions & { handle: object; onread: object; allowHalfOpen: boolean }

/** The methods of TLSSocket that its own server calls. */
interface Internals {
  _tlsOptions: SocketOptions
  _wrapHandle(wrap: unknown, handle: unknown, hasActiveWrite: boolean): object
  _releaseControl(): boolean
}

const internals = tls.TLSSocket.prototype as unknown as Internals

/**
 * A TLSSocket over the bare handle of an accepted connection. Node.js allows `onread` only where no socket is below, and then makes a
 * handle itself: that is the one place this class changes. It also saves the second net.Socket of every connection.
 */
class AcceptedSocket extends tls.TLSSocket implements SecureSocket {
  wire: Wire | null = null

  // Called by the constructor of TLSSocket, before any field of this class is there.
  _wrapHandle(wrap: unknown, handle: unknown, hasActiveWrite: boolean): object {
    const self = this as unknown as Internals
    return internals._wrapHandle.call(self, wrap, handle ?? self._tlsOptions.handle, hasActiveWrite)
  }
}

/**
 * Begins the handshake on a socket that was accepted by a server with `pauseOnConnect`; null when it is gone already. The socket
 * emits `secure` when the handshake is done, and `close` (after an `error` with the reason) when it fails. `Wire.adopt` takes it from
 * there, within the event.
 */
export function acceptSecure(accepted: net.Socket, options: SecureServerOptions): SecureSocket | null {
  const holder = accepted as unknown as WithHandle
  const handle = holder._handle
  if (handle === null || handle === undefined) return null
  // What was read before, such as bytes behind a PROXY header.
  const first = accepted.readableLength > 0 ? (accepted.read() as Buffer | null) : null
  holder._handle = null
  const { contextFor } = options
  const socketOptions: SocketOptions = {
    handle,
    onread: SECURE_ONREAD,
    isServer: true,
    allowHalfOpen: true,
    secureContext: options.secureContext,
    ...(options.protocols.length === 0 ? {} : { ALPNProtocols: options.protocols as string[] }),
    requestCert: options.requestCert,
    rejectUnauthorized: options.requireCert,
    ...(contextFor === null ? {} : { SNICallback: (name, done) => done(null, contextFor(name) ?? undefined) }),
  }
  const socket = new AcceptedSocket(undefined as unknown as net.Socket, socketOptions)
  // TLSSocket takes a handle that it made itself for one that has yet to connect.
  ;(socket as { connecting: boolean }).connecting = false
  if (first !== null) {
    // Not before the caller listens for what comes of it.
    process.nextTick(() => {
      if (!socket.destroyed) (socket as unknown as { _handle: { receive(bytes: Buffer): void } })._handle.receive(first)
    })
  }
  return socket
}

/** After the handshake: whose certificate the client has shown, or why it is not believed. */
export function finishSecure(socket: SecureSocket): { verified: boolean; problem: string | null } {
  const { _handle } = socket as unknown as { _handle: { verifyError(): NodeJS.ErrnoException | null } }
  ;(socket as unknown as Internals)._releaseControl()
  const error = _handle.verifyError()
  return { verified: error === null || error === undefined, problem: error?.code ?? null }
}

/** Where and how an endpoint is spoken to over TLS. */
export interface SecureConnectOptions {
  readonly tcp: net.TcpNetConnectOpts
  readonly tls: tls.ConnectionOptions
  /** From an earlier connection; null: none. */
  readonly session: Buffer | null
  /** A session that a later connection may begin with. */
  readonly onSession: (session: Buffer) => void
}

/** As `Wire.connect`, over TLS: connected is when the handshake is done and the endpoint is who it should be. */
export function connectSecure(options: SecureConnectOptions, owner: WireOwner, onConnected: () => void): Wire {
  const { session } = options
  const socket = tls.connect({
    ...(options.tcp as tls.ConnectionOptions),
    ...options.tls,
    ...(session === null ? {} : { session }),
    onread: SECURE_ONREAD,
    allowHalfOpen: true,
  } as tls.ConnectionOptions) as SecureSocket
  socket.wire = null
  const wire = Wire.adopt(socket, owner) as Wire
  socket.once('secureConnect', onConnected)
  socket.on('session', options.onSession)
  socket.setNoDelay(true)
  return wire
}
