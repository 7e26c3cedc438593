/** What the tests of the HTTP/1.1 data path share. Nothing here uses the codec under test. */
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CleanupScope } from '../../support/cleanup.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startRawUpstream, type Upstream } from '../../support/upstream.ts'

/** A message as it stands in bytes (latin1): start line, fields as they came, decoded body. */
export interface Message {
  start: string
  fields: [string, string][]
  /** The first value of a field, or undefined. */
  get(name: string): string | undefined
  /** Every value of a field. */
  all(name: string): string[]
  body: string
  trailers: string
  /** How the body ended: by its length, by the last chunk, or not at all (it runs until the connection closes). */
  framing: 'none' | 'length' | 'chunked' | 'close'
  /** Characters this message took. */
  size: number
}

/** The message at the start of `text`, or null when it is not complete. `bodyless`: a response to HEAD. */
export function readMessage(text: string, bodyless = false): Message | null {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return null
  const [start = '', ...lines] = text.slice(0, headEnd).split('\r\n')
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  const all = (name: string) => fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value)
  const get = (name: string) => all(name)[0]
  const status = start.startsWith('HTTP/') ? Number(start.split(' ')[1]) : 0
  const message = { start, fields, all, get, body: '', trailers: '' }
  const at = headEnd + 4
  if (bodyless || status === 204 || status === 304 || (status >= 100 && status < 200)) return { ...message, framing: 'none', size: at }
  if (get('transfer-encoding')?.toLowerCase() === 'chunked') {
    const decoded = readChunks(text, at)
    return decoded === null ? null : { ...message, ...decoded, framing: 'chunked' }
  }
  const length = get('content-length')
  if (length !== undefined) {
    const end = at + Number(length)
    return text.length < end ? null : { ...message, body: text.slice(at, end), framing: 'length', size: end }
  }
  if (status === 0) return { ...message, framing: 'none', size: at }
  return { ...message, body: text.slice(at), framing: 'close', size: text.length }
}

function readChunks(text: string, from: number): { body: string; trailers: string; size: number } | null {
  let at = from
  const pieces: string[] = []
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at)
    if (lineEnd === -1) return null
    const size = Number.parseInt(text.slice(at, lineEnd), 16)
    if (Number.isNaN(size)) throw new Error(`not a chunk: ${JSON.stringify(text.slice(at, at + 40))}`)
    if (size === 0) {
      if (text.startsWith('\r\n', lineEnd + 2)) return { body: pieces.join(''), trailers: '', size: lineEnd + 4 }
      const end = text.indexOf('\r\n\r\n', lineEnd)
      return end === -1 ? null : { body: pieces.join(''), trailers: text.slice(lineEnd + 2, end + 2), size: end + 4 }
    }
    const dataEnd = lineEnd + 2 + size
    if (text.length < dataEnd + 2) return null
    pieces.push(text.slice(lineEnd + 2, dataEnd))
    at = dataEnd + 2
  }
}

/** How long `text` must at least become before its first message can be complete: spares reading a long body again and again. */
function sizeWanted(text: string): number {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return 0
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1]
  return length === undefined ? 0 : headEnd + 4 + Number(length)
}

/** Every complete message in `text`, in order; throws when something is left over. */
export function readMessages(text: string): Message[] {
  const messages: Message[] = []
  let rest = text
  while (rest !== '') {
    const message = readMessage(rest)
    if (message === null) throw new Error(`an incomplete message: ${JSON.stringify(rest.slice(0, 200))}`)
    messages.push(message)
    rest = rest.slice(message.size)
  }
  return messages
}

/** How long a client waits for what must come. Far more than it takes on a quiet machine. */
const PATIENCE_MS = 30_000

/** A connection of a client that says exactly what it is told to. */
export interface Client {
  socket: net.Socket
  /** Everything received so far, latin1. */
  text: string
  /** How the connection ended; null while it is open. */
  ended: 'closed' | 'reset' | null
  send(bytes: string | Buffer): void
  /** Waits until this holds or the connection has ended. */
  until(check: () => boolean, timeoutMs?: number): Promise<void>
  /** Waits for the next complete response and takes it out of `text`. Interim responses count. */
  response(options?: { bodyless?: boolean; timeoutMs?: number }): Promise<Message>
  /** Waits for the end of the connection. */
  end(timeoutMs?: number): Promise<'closed' | 'reset'>
}

export async function openClient(scope: CleanupScope, port: number, host = '127.0.0.1'): Promise<Client> {
  const socket = net.connect({ port, host, noDelay: true, allowHalfOpen: true })
  scope.after(() => void socket.destroy())
  let wake: (() => void) | null = null
  const client: Client = {
    socket,
    text: '',
    ended: null,
    send: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    async until(check, timeoutMs = PATIENCE_MS) {
      const deadline = performance.now() + timeoutMs
      while (!check() && client.ended === null) {
        const left = deadline - performance.now()
        if (left <= 0) throw new Error(`waited ${timeoutMs} ms; received so far: ${JSON.stringify(client.text.slice(0, 500))}`)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, left)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    },
    async response({ bodyless = false, timeoutMs = PATIENCE_MS } = {}) {
      let message: Message | null = null
      let wanted = 0
      await client.until(() => {
        if (client.text.length < wanted) return false
        if (!bodyless) wanted = sizeWanted(client.text)
        message = readMessage(client.text, bodyless)
        return message !== null && message.framing !== 'close'
      }, timeoutMs)
      const found = message as Message | null
      if (found === null) throw new Error(`the connection ended (${client.ended}) after ${JSON.stringify(client.text.slice(0, 500))}`)
      client.text = client.text.slice(found.size)
      return found
    },
    async end(timeoutMs = PATIENCE_MS) {
      await client.until(() => false, timeoutMs)
      return client.ended as 'closed' | 'reset'
    },
  }
  const notice = () => {
    wake?.()
    wake = null
  }
  socket.on('data', (data) => {
    client.text += data.toString('latin1')
    notice()
  })
  socket.on('end', () => {
    client.ended ??= 'closed'
    notice()
  })
  socket.on('error', () => {
    client.ended ??= 'reset'
    notice()
  })
  socket.on('close', () => {
    client.ended ??= 'closed'
    notice()
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return client
}

/** One connection to a scripted upstream. */
export interface UpstreamConnection {
  socket: net.Socket
  /** Everything that came on this connection, latin1. */
  received: string
  /** Complete requests taken out of it so far. */
  requests: Message[]
  /** When the other side closed or reset, by `performance.now()`; null while open. */
  closedMs: number | null
  write(text: string | Buffer): void
}

export interface ScriptedUpstream extends Upstream {
  log: UpstreamConnection[]
  /** Every complete request on any connection, in order of arrival. */
  requests: Message[]
  /** Everything received on all connections. */
  received(): string
  /** Replaces what happens with a complete request. */
  answer: (request: Message, connection: UpstreamConnection) => void
  /** Called with every piece that arrives, before requests are looked for. */
  onBytes: ((connection: UpstreamConnection) => void) | null
  reset(): void
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** An upstream that keeps every byte it gets and answers complete requests as the test says; at first with 200 and "ok". */
export async function startScript(scope: CleanupScope): Promise<ScriptedUpstream> {
  const log: UpstreamConnection[] = []
  const requests: Message[] = []
  const plain = (_: Message, connection: UpstreamConnection) => connection.write(OK)
  let script: ScriptedUpstream
  const upstream = await startRawUpstream(scope, (socket) => {
    const connection: UpstreamConnection = {
      socket,
      received: '',
      requests: [],
      closedMs: null,
      write: (text) => void socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text),
    }
    let taken = 0
    let wanted = 0
    log.push(connection)
    socket.on('data', (data) => {
      connection.received += data.toString('latin1')
      script.onBytes?.(connection)
      while (connection.received.length > taken && connection.received.length >= wanted) {
        const rest = connection.received.slice(taken)
        const request = readMessage(rest)
        if (request === null) {
          wanted = taken + sizeWanted(rest)
          break
        }
        taken += request.size
        connection.requests.push(request)
        requests.push(request)
        script.answer(request, connection)
      }
    })
    const closed = () => (connection.closedMs ??= performance.now())
    socket.on('end', () => {
      closed()
      socket.end()
    })
    socket.on('close', closed)
  })
  script = Object.defineProperties({}, Object.getOwnPropertyDescriptors(upstream)) as ScriptedUpstream
  Object.assign(script, {
    log,
    requests,
    received: () => log.map((connection) => connection.received).join(''),
    answer: plain,
    onBytes: null,
    reset() {
      script.answer = plain
      script.onBytes = null
      requests.length = 0
      for (const { socket } of log.splice(0)) socket.destroy()
    },
  })
  return script
}

/** A gateway whose only route goes to the given endpoints. The rest of a configuration may be given by its parts. */
export function startGateway(
  scope: CleanupScope,
  endpoints: string[],
  { listener = {}, service = {}, route = {}, more = {} }: { listener?: object; service?: object; route?: object; more?: object } = {},
): Promise<SluiceProcess> {
  return startSluice(scope, {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0', ...listener } },
    // One attempt each: what is looked at here is what becomes of it.
    services: { up: { endpoints, ejection: null, retry: null, ...service } },
    routes: { all: { to: 'up', ...route } },
    ...more,
  })
}

/** A request without surprises. `fields` are whole lines without their line ends. */
export function request(method = 'GET', target = '/', fields: string[] = [], body = ''): string {
  const length = body === '' ? [] : [`Content-Length: ${body.length}`]
  return [`${method} ${target} HTTP/1.1`, 'Host: example.com', ...fields, ...length, '', body].join('\r\n')
}

/** What an error answer of the gateway says. */
export function problem(message: Message): { status: number; code: string; request_id?: string } {
  return JSON.parse(message.body) as { status: number; code: string; request_id?: string }
}

/** The status of a response. */
export function statusOf(message: Message): number {
  return Number(message.start.split(' ')[1])
}

/** The resident memory of a process in MiB. */
export async function residentMiB(pid: number): Promise<number> {
  const { readFile } = await import('node:fs/promises')
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

export { sleep }
