import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { TlsTexts } from '../config/tls-types.ts'
import type { AddressConfig, AdminConfig } from '../config/types.ts'
import type { Log } from '../observe/log.ts'
import type { Guard } from './guard.ts'
import { createGuard, isLoopbackHost } from './guard.ts'
import type { AdminReply } from './reply.ts'
import { replyProblem } from './reply.ts'
import type { AdminResource } from './resource.ts'
import { RESOURCES } from './resources.ts'
import type { AdminSource } from './source.ts'
import { type AdminTls, createAdminTls } from './tls.ts'

export interface AdminServerOptions {
  readonly config: AdminConfig
  /** The texts of the files that `config.tls` names. */
  readonly texts: TlsTexts
  readonly source: AdminSource
  readonly log: Log
}

export interface AdminServer {
  /** Resolves to the address really bound. Rejects with one clear sentence when that is not possible. */
  listen(): Promise<AddressConfig>
  /**
   * Other settings for the same address: returns what puts them in force, for new connections and new requests. Throws when
   * OpenSSL does not take a certificate.
   */
  prepare(config: AdminConfig, texts: TlsTexts): () => void
  /**
   * Frees the port at once and resolves when the last response has left, at most 30 s later. A reload that replaces this
   * server must not wait for it: the request that asked for the reload is one of those still running.
   */
  close(): Promise<void>
}

/** Few people and one scraper come here, so the limits are tight. */
const LIMITS = {
  headBytes: 16 * 1024,
  headTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  idleTimeoutMs: 5_000,
  /** A connection on which nothing moves, also one that does not read its response. */
  stalledTimeoutMs: 30_000,
  checkIntervalMs: 5_000,
  connections: 128,
} as const

const INTERNAL = replyProblem({ status: 500, title: 'Internal Server Error', code: 'internal', detail: 'The program log has the details.' })

/**
 * The admin listener: HTTP/1.1 over node:http, with TLS or without, apart from all traffic. Throws when the address is not loopback and there is no
 * token, which the configuration check has already refused.
 */
export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { config, source, log } = options
  let guard: Guard
  let tls: AdminTls | null
  const prepare = ({ token, address, tls: tlsConfig }: AdminConfig, texts: TlsTexts): (() => void) => {
    if (token === null && !isLoopbackHost(address.host)) throw new Error('admin: an address that is not loopback needs a token')
    const next = tlsConfig === null ? null : createAdminTls(tlsConfig, texts, log, (socket) => serveHttp(socket))
    return () => {
      guard = createGuard(token)
      tls = next
    }
  }
  let closing = false
  let running = 0
  const server = createServer(
    {
      maxHeaderSize: LIMITS.headBytes,
      headersTimeout: LIMITS.headTimeoutMs,
      requestTimeout: LIMITS.requestTimeoutMs,
      keepAliveTimeout: LIMITS.idleTimeoutMs,
      connectionsCheckingInterval: LIMITS.checkIntervalMs,
      noDelay: true,
    },
    (request, response) => {
      running += 1
      response.once('close', () => {
        running -= 1
        if (closing && running === 0) server.closeAllConnections()
      })
      void answer({ request, response, guard, source, log })
    },
  )
  // TLS comes before HTTP, and may begin or end with a reload: the server gets its sockets from here.
  const serveHttp = server.listeners('connection')[0]?.bind(server) as (socket: Socket) => void
  server.removeAllListeners('connection')
  server.on('connection', (socket) => {
    if (tls === null) serveHttp(socket)
    else tls.accept(socket)
  })
  prepare(config, options.texts)()
  server.timeout = LIMITS.stalledTimeoutMs
  server.maxConnections = LIMITS.connections

  return {
    prepare,
    listen: () =>
      new Promise((resolve, reject) => {
        const { host, port } = config.address
        const onError = (error: NodeJS.ErrnoException): void => reject(new Error(listenFailure(config.address, error), { cause: error }))
        server.once('error', onError)
        server.listen({ port, ...(host === '' ? {} : { host }), exclusive: true }, () => {
          server.off('error', onError)
          server.on('error', (error) => log.error('admin: listener failed', { error }))
          const bound = server.address() as AddressInfo
          resolve({ host: bound.address, port: bound.port })
        })
      }),
    close: () =>
      new Promise((resolve) => {
        closing = true
        // The only error is that it does not listen, which is what is wanted.
        server.close(() => resolve())
        tls?.close()
        if (running === 0) server.closeAllConnections()
      }),
  }
}

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly guard: Guard
  readonly source: AdminSource
  readonly log: Log
}

async function answer(call: Call): Promise<void> {
  const { request, response, log } = call
  // A client that goes away in the middle is none of our errors.
  request.on('error', () => {})
  response.on('error', () => {})
  // No resource takes a body. What comes is thrown away, and the connection is not used again.
  const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  if (hasBody) response.setHeader('Connection', 'close')
  request.resume()
  let reply: AdminReply
  try {
    reply = await handle(call)
  } catch (error) {
    log.error('admin: request failed', { method: request.method, path: pathOf(request), error })
    reply = INTERNAL
  }
  send(response, reply)
}

function handle(call: Call): AdminReply | Promise<AdminReply> {
  const { request, guard, source, log } = call
  const path = pathOf(request)
  const resource = RESOURCES.get(path)
  const refusal = guard(
    {
      method: request.method ?? '',
      host: request.headers.host,
      origin: request.headers.origin,
      authorization: request.headers.authorization,
    },
    resource?.open === true,
  )
  if (refusal !== null) return refusal
  if (resource === undefined) return NOT_FOUND
  const method = request.method === 'HEAD' ? 'GET' : request.method
  if (method !== resource.method) return methodNotAllowed(resource)
  if (method === 'POST') log.info('admin: change requested', { path, from: request.socket.remoteAddress ?? '' })
  return resource.handle(source)
}

const NOT_FOUND = replyProblem({
  status: 404,
  title: 'Not Found',
  code: 'not_found',
  detail: 'There is nothing here; / lists what there is.',
})

function methodNotAllowed(resource: AdminResource): AdminReply {
  const allow = resource.method === 'GET' ? 'GET, HEAD' : resource.method
  return replyProblem({
    status: 405,
    title: 'Method Not Allowed',
    code: 'method_not_allowed',
    detail: `${resource.path} takes ${allow}.`,
    headers: { Allow: allow },
  })
}

function pathOf(request: IncomingMessage): string {
  const target = request.url ?? '/'
  const query = target.indexOf('?')
  return query === -1 ? target : target.slice(0, query)
}

function send(response: ServerResponse, reply: AdminReply): void {
  if (response.destroyed) return
  response.writeHead(reply.status, {
    'Content-Type': reply.contentType,
    'Content-Length': Buffer.byteLength(reply.body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...reply.headers,
  })
  // Node leaves the body out for HEAD.
  response.end(reply.body)
}

const LISTEN_FAILURES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is already in use',
  EACCES: 'no permission to use this port',
  EADDRNOTAVAIL: 'this machine does not have the address',
  ENOTFOUND: 'the name cannot be resolved',
}

function listenFailure(address: AddressConfig, error: NodeJS.ErrnoException): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `admin: cannot listen on ${host}:${address.port}: ${LISTEN_FAILURES[error.code ?? ''] ?? error.message} (${error.code ?? 'unknown'})`
}
