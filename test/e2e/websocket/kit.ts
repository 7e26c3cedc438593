/** What the tests of WebSockets share: `ws` at both ends, over HTTP/1.1 or over a stream of node:http2. Nothing here uses the codec under test. */
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import type { CleanupScope } from '../../support/cleanup.ts'

export type Version = 'h1' | 'h2'

export interface Echo {
  address: string
  /** The gateway's connections, and the WebSockets among them. */
  connections: number
  clients: WebSocket[]
  closes: { code: number; reason: string }[]
  headers: http.IncomingHttpHeaders[]
  stop(): void
}

export interface EchoOptions {
  cert?: string
  key?: string
}

/** What `ws` has and its types do not show. */
interface Attachable {
  _isServer: boolean
  setSocket(socket: Duplex, head: Buffer, options: object): void
}

/** Speaks the WebSocket protocol on a stream that is open for it. */
function attach(stream: Duplex, isServer: boolean): WebSocket {
  const Constructor = WebSocket as unknown as new (address: null, protocols: undefined, options: object) => WebSocket
  const socket = new Constructor(null, undefined, { autoPong: true, closeTimeout: 5000 })
  const attachable = socket as unknown as Attachable
  attachable._isServer = isServer
  attachable.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 0, skipUTF8Validation: false })
  socket.on('error', () => undefined)
  return socket
}

/** Echoes every message; `/push` gets ten messages first, `/no` is refused with 403, and an ordinary request is answered with `plain`. */
export async function startEcho(scope: CleanupScope, version: Version, options: EchoOptions = {}): Promise<Echo> {
  const echo: Echo = { address: '', connections: 0, clients: [], closes: [], headers: [], stop: () => undefined }
  const serve = (socket: WebSocket, path: string, headers: http.IncomingHttpHeaders) => {
    echo.clients.push(socket)
    echo.headers.push(headers)
    if (path === '/push') for (let i = 0; i < 10; i++) socket.send(`push ${i}`)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on('close', (code, reason) => echo.closes.push({ code, reason: String(reason) }))
    socket.on('error', () => undefined)
  }
  const server = version === 'h1' ? http1Server(options, serve) : http2Server(options, serve)
  server.on('connection', () => echo.connections++)
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session: http2.ServerHttp2Session) => {
    sessions.add(session)
    session.on('error', () => undefined)
    session.on('close', () => sessions.delete(session))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  echo.address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  echo.stop = () => {
    for (const client of echo.clients) client.terminate()
    for (const session of sessions) session.destroy()
    server.close()
    if (server instanceof http.Server || server instanceof https.Server) server.closeAllConnections()
  }
  scope.after(echo.stop)
  return echo
}

type Serve = (socket: WebSocket, path: string, headers: http.IncomingHttpHeaders) => void

function http1Server(options: EchoOptions, serve: Serve): http.Server | https.Server {
  const answer: http.RequestListener = (_, response) => void response.end('plain')
  const server = options.cert === undefined ? http.createServer(answer) : https.createServer(options, answer)
  const verifyClient = ({ req }: { req: http.IncomingMessage }, done: (ok: boolean, code?: number, text?: string) => void) =>
    req.url === '/no' ? done(false, 403, 'not here') : done(true)
  const sockets = new WebSocketServer({ server, perMessageDeflate: true, verifyClient })
  sockets.on('connection', (socket, request) => serve(socket, request.url as string, request.headers))
  return server
}

function http2Server(options: EchoOptions, serve: Serve): http2.Http2Server | http2.Http2SecureServer {
  const settings = { enableConnectProtocol: true }
  const server = options.cert === undefined ? http2.createServer({ settings }) : http2.createSecureServer({ ...options, settings })
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on('error', () => undefined)
    if (headers[':protocol'] !== 'websocket') {
      stream.respond({ ':status': 200 })
      stream.end('plain')
    } else if (headers[':path'] === '/no') {
      stream.respond({ ':status': 403 })
      stream.end('not here')
    } else {
      stream.respond({ ':status': 200 })
      serve(attach(stream, true), headers[':path'] as string, headers)
    }
  })
  return server
}

/** A client of one version: each of its WebSockets on a connection of its own, or all of them on one. */
export interface Client {
  /** `onMessage` also hears what comes with the answer. */
  open(path?: string, headers?: Record<string, string>, onMessage?: (message: Buffer) => void): Promise<WebSocket>
  /** The status that a handshake is refused with, and what comes with it. */
  refused(path?: string, headers?: Record<string, string>): Promise<{ status: number; headers: http.IncomingHttpHeaders }>
}

export async function startClient(scope: CleanupScope, version: Version, url: string, ca?: string): Promise<Client> {
  return version === 'h1' ? http1Client(url, ca) : http2Client(scope, url, ca)
}

function http1Client(url: string, ca?: string): Client {
  const create = (path: string, headers: Record<string, string>) => {
    const secure = ca === undefined ? {} : { ca, servername: 'a.test' }
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers, perMessageDeflate: false, ...secure })
    socket.on('error', () => undefined)
    return socket
  }
  return {
    async open(path = '/', headers = {}, onMessage) {
      const socket = create(path, headers)
      if (onMessage !== undefined) socket.on('message', onMessage)
      await once(socket, 'open')
      return socket
    },
    async refused(path = '/', headers = {}) {
      const socket = create(path, headers)
      const [, response] = (await once(socket, 'unexpected-response')) as [unknown, http.IncomingMessage]
      response.resume()
      socket.terminate()
      return { status: response.statusCode as number, headers: response.headers }
    },
  }
}

export async function connectHttp2(scope: CleanupScope, url: string, ca?: string): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(url, ca === undefined ? {} : { ca, servername: 'a.test' })
  session.on('error', () => undefined)
  scope.after(() => session.destroy())
  await once(session, 'remoteSettings')
  return session
}

/** The head of an extended CONNECT. */
export function connectHead(path: string, headers: Record<string, string> = {}): http2.OutgoingHttpHeaders {
  return { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13', ...headers }
}

async function http2Client(scope: CleanupScope, url: string, ca?: string): Promise<Client> {
  const session = await connectHttp2(scope, url, ca)
  const request = async (path: string, headers: Record<string, string>) => {
    const stream = session.request(connectHead(path, headers), { endStream: false })
    stream.on('error', () => undefined)
    const gone = once(stream, 'close').then(() => Promise.reject(new Error('the stream was closed without an answer')))
    gone.catch(() => undefined)
    const [head] = (await Promise.race([once(stream, 'response'), gone])) as [http.IncomingHttpHeaders & { ':status': number }]
    return { stream, head }
  }
  return {
    async open(path = '/', headers = {}, onMessage) {
      const { stream, head } = await request(path, headers)
      if (head[':status'] !== 200) throw new Error(`status ${head[':status']}`)
      const socket = attach(stream, false)
      if (onMessage !== undefined) socket.on('message', onMessage)
      return socket
    },
    async refused(path = '/', headers = {}) {
      const { stream, head } = await request(path, headers)
      stream.resume()
      if (!stream.closed) await once(stream, 'close')
      return { status: head[':status'], headers: head }
    },
  }
}

/** Sends a message and waits for the next one. */
export async function echoOf(socket: WebSocket, data: string | Buffer): Promise<Buffer> {
  const answer = once(socket, 'message') as Promise<[Buffer, boolean]>
  socket.send(data)
  const [message] = await answer
  return message
}
