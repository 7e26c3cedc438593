/** Endpoints that speak HTTP/2, and clients of either version, for the tests of HTTP/2 towards services. */
import { spawn } from 'node:child_process'
import http from 'node:http'
import http2 from 'node:http2'
import type net from 'node:net'
import type { WireBuffer } from '../../../src/base/wire.ts'
import { RequestHead } from '../../../src/codec/http1/head.ts'
import { HpackDecoder } from '../../../src/codec/http2/hpack-decoder.ts'
import { BLOCK_OK, readRequestBlock } from '../../../src/codec/http2/message.ts'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import type { SluiceProcess } from '../../support/sluice.ts'
import { startRawUpstream, type Upstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { type Answer, ask, connect, type Frame, frame, HEADERS, SETTINGS } from './kit.ts'

export type StreamHandler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void

export interface Http2Upstream extends Upstream {
  sessions: Set<http2.ServerHttp2Session>
  /** Most streams that were open at the same time. */
  readonly mostStreams: number
}

/** Node's own HTTP/2 server, without TLS or with it. */
export async function startHttp2Upstream(
  scope: CleanupScope,
  handler: StreamHandler,
  options: http2.SecureServerOptions = {},
): Promise<Http2Upstream> {
  const server = (options.cert === undefined ? http2.createServer(options) : http2.createSecureServer(options)) as http2.Http2Server
  const sessions = new Set<http2.ServerHttp2Session>()
  let connections = 0
  let streams = 0
  let mostStreams = 0
  server.on('session', (session) => {
    connections++
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream, headers) => {
    streams++
    mostStreams = Math.max(mostStreams, streams)
    stream.on('close', () => streams--)
    stream.on('error', () => {})
    handler(stream, headers)
  })
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const session of sessions) session.destroy()
    })
  scope.after(stop)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  return {
    port,
    address: `127.0.0.1:${port}`,
    sessions,
    get connections() {
      return connections
    },
    get open() {
      return sessions.size
    },
    get mostStreams() {
      return mostStreams
    },
    stop,
  }
}

/** nghttpd serving a folder. */
export async function startNghttpd(
  scope: CleanupScope,
  program: string,
  folder: string,
  args: string[] = [],
): Promise<{ address: string; pid: number }> {
  const port = await freePort()
  const child = spawn(program, ['--no-tls', '-a', '127.0.0.1', '-d', folder, ...args, String(port)], { stdio: 'ignore' })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  })
  await waitFor('nghttpd', () => isOpen(port))
  return { address: `127.0.0.1:${port}`, pid: child.pid! }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const session = http2.connect(`http://127.0.0.1:${port}`)
    session.once('error', () => resolve(false))
    session.once('remoteSettings', () => {
      session.destroy()
      resolve(true)
    })
  })
}

/** What an endpoint made of frames sees of one connection. */
export interface RawEndpoint {
  socket: net.Socket
  send(...frames: Buffer[]): void
}

const LIMITS = { headBytes: 65_536, headers: 200, uriBytes: 8192 }

/** An endpoint that answers frames with frames. Heads of requests are decoded, for their path. It has sent its SETTINGS (id, value pairs) before anything comes. */
export function startRawHttp2(
  scope: CleanupScope,
  onFrame: (frame: Frame, endpoint: RawEndpoint, path: string) => void,
  settings: [number, number][] = [],
): Promise<Upstream> {
  return startRawUpstream(scope, (socket) => {
    const payload = Buffer.alloc(settings.length * 6)
    settings.forEach(([id, value], i) => {
      payload.writeUInt16BE(id, i * 6)
      payload.writeUInt32BE(value, i * 6 + 2)
    })
    const decoder = new HpackDecoder()
    const head = new RequestHead()
    const endpoint: RawEndpoint = { socket, send: (...frames) => void socket.write(Buffer.concat(frames)) }
    let rest: Buffer = Buffer.alloc(0)
    let isPrefaceOver = false
    socket.on('end', () => socket.end())
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data])
      if (!isPrefaceOver) {
        if (rest.length < 24) return
        rest = rest.subarray(24)
        isPrefaceOver = true
        endpoint.send(frame(SETTINGS, 0, 0, payload))
      }
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        const size = 9 + rest.readUIntBE(0, 3)
        const one: Frame = { type: rest[3]!, flags: rest[4]!, id: rest.readUInt32BE(5), payload: rest.subarray(9, size) }
        rest = rest.subarray(size)
        if (one.type === SETTINGS && (one.flags & 1) === 0) endpoint.send(frame(SETTINGS, 1, 0))
        if (one.type === HEADERS && readRequestBlock(decoder, one.payload as WireBuffer, 0, one.payload.length, head, LIMITS) !== BLOCK_OK)
          throw new Error('a request that cannot be read')
        onFrame(one, endpoint, one.type === HEADERS ? head.target : '')
      }
    })
  })
}

export interface Question {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string | Buffer
  trailers?: Record<string, string>
}

/** A client of one version of HTTP: the tests ask through both. */
export interface Client {
  name: string
  ask(question?: Question): Promise<Answer>
}

export function http1Client(port: number, agent?: http.Agent): Client {
  return {
    name: 'HTTP/1.1',
    ask: ({ method, path = '/', headers = {}, body, trailers } = {}) =>
      new Promise((resolve, reject) => {
        const answer: Answer = { status: 0, headers: {}, body: '', trailers: null, interim: [] }
        const request = http.request({
          host: '127.0.0.1',
          port,
          path,
          headers,
          method: method ?? (body === undefined ? 'GET' : 'POST'),
          agent: agent ?? false,
        })
        request.on('information', (info) => answer.interim.push(info.statusCode))
        request.on('error', reject)
        request.on('response', (response) => {
          answer.status = response.statusCode!
          answer.headers = response.headers as Answer['headers']
          response.setEncoding('latin1')
          response.on('data', (text: string) => (answer.body += text))
          response.on('error', reject)
          response.on('end', () => {
            if (Object.keys(response.trailers).length > 0) answer.trailers = response.trailers as Answer['headers']
            resolve(answer)
          })
        })
        if (trailers !== undefined) {
          request.setHeader('Trailer', Object.keys(trailers).join(', '))
          request.setHeader('Transfer-Encoding', 'chunked')
          request.addTrailers(trailers)
        }
        request.end(body)
      }),
  }
}

export function http2Client(session: http2.ClientHttp2Session): Client {
  return {
    name: 'HTTP/2',
    ask: ({ method, path = '/', headers = {}, body, trailers } = {}) =>
      ask(
        session,
        { ':method': method ?? (body === undefined ? 'GET' : 'POST'), ':path': path, ...headers },
        { body, ...(trailers === undefined ? {} : { trailers }) },
      ),
  }
}

/** One client of each version. */
export function bothClients(scope: CleanupScope, sluice: SluiceProcess): Client[] {
  return [http1Client(sluice.port()), http2Client(connect(scope, sluice.port()))]
}

/** One worker, one listener, everything to this service. */
export function toService(service: object, more: object = {}): object {
  return {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { app: { protocol: 'http2', ...service } },
    routes: { all: { to: 'app' } },
    ...more,
  }
}
