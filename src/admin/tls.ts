import { randomBytes } from 'node:crypto'
import type net from 'node:net'
import tls from 'node:tls'
import type { ListenerTlsConfig, TlsTexts } from '../config/tls-types.ts'
import type { Log } from '../observe/log.ts'
import { createNameLookup, secureContextOptions } from '../proxy/listener-tls.ts'

/** Stands between the sockets of the admin listener and HTTP. */
export interface AdminTls {
  /** Begins the handshake on a connection that was accepted. */
  accept(socket: net.Socket): void
  /** Breaks off the handshakes that are not done. */
  close(): void
}

/** Throws when OpenSSL does not take a certificate. */
export function createAdminTls(config: ListenerTlsConfig, texts: TlsTexts, log: Log, onSecure: (socket: tls.TLSSocket) => void): AdminTls {
  const source = { listener: 'admin', config, texts }
  const options = config.certificates.map((certificate) => secureContextOptions(source, certificate, randomBytes(48)))
  const contexts = options.map((one) => tls.createSecureContext(one))
  const contextFor = createNameLookup(config.certificates, contexts)
  const { clientAuth } = config
  /** By the address of the client: nothing else leads from a secure socket to the one below it. */
  const handshakes = new Map<string, net.Socket>()
  const failed = (client: string, reason: string): void => log.debug('admin: a TLS handshake failed', { client, reason })
  const server = tls.createServer({
    ...options[0],
    SNICallback: (name, done) => done(null, contextFor(name) ?? undefined),
    ALPNProtocols: config.alpn,
    handshakeTimeout: config.handshakeTimeoutMs,
    requestCert: clientAuth !== null,
    rejectUnauthorized: clientAuth?.mode === 'require',
  })
  server.on('tlsClientError', (error, socket) => {
    failed(socket.remoteAddress ?? '', (error as { reason?: string }).reason ?? error.message)
    // A client that broke off is not closed by the server itself.
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    handshakes.delete(clientOf(socket))
    // In `optional` no certificate is well; a wrong one is not.
    if (clientAuth !== null && !socket.authorized && socket.getPeerX509Certificate() !== undefined) {
      failed(socket.remoteAddress ?? '', `the certificate of the client is not believed: ${socket.authorizationError}`)
      socket.destroy()
      return
    }
    onSecure(socket)
  })
  return {
    accept: (socket) => {
      const client = clientOf(socket)
      handshakes.set(client, socket)
      socket.once('close', () => handshakes.delete(client))
      server.emit('connection', socket)
    },
    close: () => {
      for (const socket of handshakes.values()) socket.destroy()
    },
  }
}

function clientOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress} ${remotePort}`
}
