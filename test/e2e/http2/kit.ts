/** What the tests of HTTP/2 with clients share. Nothing here uses the codec under test. */
import http2 from 'node:http2'
import net from 'node:net'
import type { CleanupScope } from '../../support/cleanup.ts'

export interface Answer {
  status: number
  headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader
  body: string
  trailers: http2.IncomingHttpHeaders | null
  /** Statuses of the interim responses before it. */
  interim: number[]
}

/** A connection of Node's own client to `http://127.0.0.1:port`. */
export function connect(scope: CleanupScope, port: number, options: http2.ClientSessionOptions = {}): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000, ...options })
  session.on('error', () => {})
  scope.after(() => session.destroy())
  return session
}

export interface AskOptions {
  body?: string | Buffer | undefined
  trailers?: Record<string, string>
}

/** One request and its whole response. Rejects when the stream is reset. */
export function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders = {},
  { body, trailers }: AskOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined, waitForTrailers: trailers !== undefined })
    stream.on('wantTrailers', () => stream.sendTrailers(trailers as Record<string, string>))
    if (body !== undefined) stream.end(body)
    collect(stream).then(resolve, reject)
  })
}

/** The response of a stream. */
export function collect(stream: http2.ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const answer: Answer = { status: 0, headers: {}, body: '', trailers: null, interim: [] }
    stream.setEncoding('latin1')
    stream.on('headers', (head) => answer.interim.push(Number(head[':status'])))
    stream.on('response', (head) => {
      answer.status = Number(head[':status'])
      answer.headers = head
    })
    stream.on('data', (text: string) => (answer.body += text))
    stream.on('trailers', (trailers) => (answer.trailers = trailers))
    stream.on('error', reject)
    stream.on('close', () => {
      if (answer.status === 0 || stream.rstCode !== 0) reject(new Error(`the stream was reset with ${stream.rstCode}`))
      else resolve(answer)
    })
  })
}

/** One frame as it came. */
export interface Frame {
  type: number
  flags: number
  id: number
  payload: Buffer
}

/** A client that says exactly what it is told to, in frames. */
export interface RawClient {
  socket: net.Socket
  frames: Frame[]
  ended: 'closed' | 'reset' | null
  send(...bytes: (Buffer | string)[]): void
  /** Waits for a frame that fits, among those that came and those to come; null when the connection ends before. */
  frame(check: (frame: Frame) => boolean, timeoutMs?: number): Promise<Frame | null>
  end(timeoutMs?: number): Promise<'closed' | 'reset'>
}

export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
export const DATA = 0
export const HEADERS = 1
export const RST_STREAM = 3
export const SETTINGS = 4
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export function frame(type: number, flags: number, id: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const header = Buffer.alloc(9)
  header.writeUIntBE(body.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(id, 5)
  return Buffer.concat([header, body])
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A literal field that is never indexed; name and value shorter than 127 bytes. */
export function field(name: string, value: string): Buffer {
  const bytes = [0x10, name.length, ...Buffer.from(name, 'latin1'), value.length, ...Buffer.from(value, 'latin1')]
  return Buffer.from(bytes)
}

/** A request in HPACK: method and path, and further fields. */
export function block(method = 'GET', path = '/', ...fields: [string, string][]): Buffer {
  const all: [string, string][] = [[':method', method], [':scheme', 'http'], [':path', path], [':authority', 'example.com'], ...fields]
  return Buffer.concat(all.map(([name, value]) => field(name, value)))
}

export const get = (id: number, path = '/'): Buffer => frame(HEADERS, 5, id, block('GET', path))
export const post = (id: number, path = '/', ...fields: [string, string][]): Buffer => frame(HEADERS, 4, id, block('POST', path, ...fields))

/** Preface and SETTINGS (id, value pairs). */
export function hello(...settings: [number, number][]): Buffer {
  const payload = Buffer.concat(settings.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), u32(value)])))
  return Buffer.concat([Buffer.from(PREFACE, 'latin1'), frame(SETTINGS, 0, 0, payload)])
}

/** The error code of a GOAWAY or RST_STREAM. */
export function codeOf({ type, payload }: Frame): number {
  return payload.readUInt32BE(type === GOAWAY ? 4 : 0)
}

/** How long a client waits for what must come. Far more than it takes on a quiet machine. */
const PATIENCE_MS = 30_000

export async function openRaw(scope: CleanupScope, port: number): Promise<RawClient> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  scope.after(() => void socket.destroy())
  const client = rawClient(socket)
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return client
}

/** A raw client on a socket, with TLS or without, that is connected or will be. */
export function rawClient(socket: net.Socket): RawClient {
  let rest: Buffer = Buffer.alloc(0)
  let wake: (() => void) | null = null
  const client: RawClient = {
    socket,
    frames: [],
    ended: null,
    send: (...bytes) => void socket.write(Buffer.concat(bytes.map((one) => (typeof one === 'string' ? Buffer.from(one, 'latin1') : one)))),
    async frame(check, timeoutMs = PATIENCE_MS) {
      const deadline = performance.now() + timeoutMs
      for (;;) {
        const found = client.frames.find(check)
        if (found !== undefined) return found
        if (client.ended !== null) return null
        await pause(deadline, timeoutMs)
      }
    },
    async end(timeoutMs = PATIENCE_MS) {
      const deadline = performance.now() + timeoutMs
      while (client.ended === null) await pause(deadline, timeoutMs)
      return client.ended
    },
  }
  async function pause(deadline: number, timeoutMs: number): Promise<void> {
    const left = deadline - performance.now()
    if (left <= 0) throw new Error(`waited ${timeoutMs} ms; frames so far: ${JSON.stringify(client.frames.slice(-20))}`)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, left)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
  socket.on('data', (data) => {
    rest = Buffer.concat([rest, data])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const size = 9 + rest.readUIntBE(0, 3)
      client.frames.push({ type: rest[3]!, flags: rest[4]!, id: rest.readUInt32BE(5), payload: rest.subarray(9, size) })
      rest = rest.subarray(size)
    }
    wake?.()
  })
  const ended = (how: 'closed' | 'reset') => {
    client.ended ??= how
    wake?.()
  }
  socket.on('end', () => ended('closed'))
  socket.on('close', () => ended('closed'))
  socket.on('error', () => ended('reset'))
  return client
}
