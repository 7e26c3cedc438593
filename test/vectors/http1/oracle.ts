/**
 * The same bytes through Sluice's codec and through Node's own parser (llhttp, strict), told in one form so that the two can be
 * compared. Node runs as it does for its users: a real server or client on a socket.
 */
import http from 'node:http'
import net from 'node:net'
import { CHUNK_DATA, CHUNK_END, CHUNK_ERROR, ChunkedDecoder } from '../../../src/codec/http1/chunked.ts'
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  HEAD_INCOMPLETE,
  MessageHead,
  parseFields,
  parseRequestHead,
  parseResponseHead,
  RequestHead,
  ResponseHead,
} from '../../../src/codec/http1/head.ts'
import { LIMITS } from './vector.ts'

type Pairs = [string, string][]

export interface Message {
  /** Method and target, or status and reason. */
  readonly start: readonly [string | number, string]
  readonly minor: number
  readonly fields: Pairs
  body: string
  trailers: Pairs
  complete: boolean
}

export interface Outcome {
  readonly messages: Message[]
  /** `clean`: the bytes end where a message ends. */
  verdict: 'clean' | 'error' | 'incomplete'
  /** Of llhttp, to be read by a person. */
  code?: string
}

interface BodyEnd {
  readonly verdict: Outcome['verdict']
  readonly next: number
}

/** Reads the body of `head` at `at`; `untilClose` is what a message without framing fields has. */
function readBody(bytes: Buffer, at: number, head: MessageHead, message: Message, untilClose: boolean): BodyEnd {
  if (head.chunked) return readChunked(bytes, at, message)
  const length = head.contentLength !== -1 ? head.contentLength : untilClose ? bytes.length - at : 0
  message.body = bytes.toString('latin1', at, Math.min(bytes.length, at + length))
  message.complete = message.body.length === length
  return { verdict: message.complete ? 'clean' : 'incomplete', next: at + length }
}

function readChunked(bytes: Buffer, at: number, message: Message): BodyEnd {
  const decoder = new ChunkedDecoder(LIMITS.headBytes)
  decoder.position = at
  let event = decoder.next(bytes, bytes.length)
  for (; event === CHUNK_DATA; event = decoder.next(bytes, bytes.length))
    message.body += bytes.toString('latin1', decoder.dataStart, decoder.dataEnd)
  if (event !== CHUNK_END) return { verdict: event === CHUNK_ERROR ? 'error' : 'incomplete', next: 0 }
  const trailers = new MessageHead()
  if (parseFields(`${decoder.trailers}\r\n`, 0, trailers, LIMITS) < 0) return { verdict: 'error', next: 0 }
  message.trailers = trailers.headers.toPairs()
  message.complete = true
  return { verdict: 'clean', next: decoder.position }
}

/** A whole connection of requests as Sluice's codec reads it. */
export function readRequests(text: string): Outcome {
  const bytes = Buffer.from(text, 'latin1')
  const outcome: Outcome = { messages: [], verdict: 'clean' }
  let at = 0
  while (at < bytes.length) {
    const head = new RequestHead()
    const end = parseRequestHead(text.slice(at), head, LIMITS)
    if (end <= 0) {
      outcome.verdict = end === HEAD_INCOMPLETE ? 'incomplete' : 'error'
      break
    }
    const message: Message = {
      start: [head.method, head.target],
      minor: head.minor,
      fields: head.headers.toPairs(),
      body: '',
      trailers: [],
      complete: false,
    }
    outcome.messages.push(message)
    const body = readBody(bytes, at + end, head, message, false)
    outcome.verdict = body.verdict
    if (body.verdict !== 'clean') break
    at = body.next
    const keepAlive = head.minor === 1 ? (head.connection & CONNECTION_CLOSE) === 0 : (head.connection & CONNECTION_KEEP_ALIVE) !== 0
    if (!keepAlive || head.method === 'CONNECT') break
  }
  return outcome
}

/** One final response (informational ones before it are passed over) as Sluice's codec reads it. */
export function readResponse(text: string): Outcome {
  const bytes = Buffer.from(text, 'latin1')
  let at = 0
  for (;;) {
    const head = new ResponseHead()
    const end = parseResponseHead(text.slice(at), head, LIMITS)
    if (end <= 0) return { messages: [], verdict: end === HEAD_INCOMPLETE ? 'incomplete' : 'error' }
    at += end
    if (head.status < 200 && head.status !== 101) continue
    const message: Message = {
      start: [head.status, head.reason],
      minor: head.minor,
      fields: head.headers.toPairs(),
      body: '',
      trailers: [],
      complete: false,
    }
    if (head.status === 101 || head.status === 204 || head.status === 304) {
      message.complete = true
      return { messages: [message], verdict: 'clean' }
    }
    return { messages: [message], verdict: readBody(bytes, at, head, message, true).verdict }
  }
}

function pairs(raw: readonly string[]): Pairs {
  const out: Pairs = []
  for (let i = 0; i < raw.length; i += 2) out.push([raw[i] as string, raw[i + 1] as string])
  return out
}

function record(message: http.IncomingMessage, start: Message['start']): Message {
  const seen: Message = {
    start,
    minor: message.httpVersionMinor,
    fields: pairs(message.rawHeaders),
    body: '',
    trailers: [],
    complete: false,
  }
  message.on('data', (piece: Buffer) => {
    seen.body += piece.toString('latin1')
  })
  message.on('end', () => {
    seen.complete = message.complete
    seen.trailers = pairs(message.rawTrailers)
  })
  message.on('error', () => {})
  return seen
}

/** A real `node:http` server that tells what it understood. One connection at a time. */
export class NodeServer {
  #outcome: Outcome = { messages: [], verdict: 'clean' }
  readonly #server = http.createServer({ insecureHTTPParser: false, maxHeaderSize: LIMITS.headBytes, requireHostHeader: true })

  async start(): Promise<void> {
    const server = this.#server
    server.maxHeadersCount = 0
    server.on('request', (request, response) => {
      const message = record(request, [request.method ?? '', request.url ?? ''])
      this.#outcome.messages.push(message)
      request.on('end', () => response.end('ok'))
    })
    server.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
      const message = record(request, [request.method ?? '', request.url ?? ''])
      message.complete = true
      this.#outcome.messages.push(message)
      socket.end()
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket: net.Socket) => {
      this.#outcome.code ??= error.code ?? 'unknown'
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  }

  async read(text: string): Promise<Outcome> {
    const outcome: Outcome = { messages: [], verdict: 'clean' }
    this.#outcome = outcome
    const { port } = this.#server.address() as net.AddressInfo
    const answer = await new Promise<string>((resolve) => {
      let received = ''
      const socket = net.connect({ port, host: '127.0.0.1' })
      socket.on('data', (piece: Buffer) => {
        received += piece.toString('latin1')
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(received))
      socket.end(text, 'latin1')
    })
    await new Promise((resolve) => setImmediate(resolve))
    // A missing Host is answered by the server itself, not as a parser error; the request is not announced then.
    if (outcome.code === undefined) outcome.verdict = answer.includes('HTTP/1.1 400') ? 'error' : 'clean'
    else outcome.verdict = outcome.code === 'HPE_INVALID_EOF_STATE' ? 'incomplete' : 'error'
    return outcome
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A real `node:http` client before a server that answers with literal bytes. */
export class NodeClient {
  #text = ''
  readonly #server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(this.#text, 'latin1'))
  })

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
  }

  async read(text: string): Promise<Outcome> {
    this.#text = text
    const outcome: Outcome = { messages: [], verdict: 'clean' }
    const { port } = this.#server.address() as net.AddressInfo
    await new Promise<void>((resolve) => {
      const request = http.get({ port, host: '127.0.0.1', agent: false, insecureHTTPParser: false, maxHeaderSize: LIMITS.headBytes })
      request.on('response', (response) => {
        outcome.messages.push(record(response, [response.statusCode ?? 0, response.statusMessage ?? '']))
      })
      request.on('upgrade', (response, socket) => {
        const message = record(response, [response.statusCode ?? 0, response.statusMessage ?? ''])
        message.complete = true
        outcome.messages.push(message)
        socket.destroy()
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        outcome.code ??= error.code ?? 'unknown'
      })
      request.on('close', () => setImmediate(resolve))
    })
    const last = outcome.messages.at(-1)
    if (outcome.code !== undefined)
      outcome.verdict = outcome.code === 'ECONNRESET' || outcome.code === 'HPE_INVALID_EOF_STATE' ? 'incomplete' : 'error'
    else if (last === undefined || !last.complete) outcome.verdict = 'incomplete'
    return outcome
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

export type DifferenceKind = 'only Sluice refuses' | 'only llhttp refuses' | 'only Sluice waits' | 'only llhttp waits' | 'read differently'

/**
 * How two outcomes differ, or null. Of a connection that ends in an error only the complete messages count, for llhttp announces a
 * head before it looks at the framing; and Sluice may have refused earlier, never later.
 */
export function differenceBetween(ours: Outcome, theirs: Outcome): DifferenceKind | null {
  if (ours.verdict !== theirs.verdict) {
    if (ours.verdict === 'error') return 'only Sluice refuses'
    if (theirs.verdict === 'error') return 'only llhttp refuses'
    return ours.verdict === 'incomplete' ? 'only Sluice waits' : 'only llhttp waits'
  }
  const a = comparable(ours)
  const b = comparable(theirs)
  if (a.length > b.length || (a.length < b.length && ours.verdict !== 'error')) return 'read differently'
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return 'read differently'
  return null
}

function comparable({ messages, verdict }: Outcome): string[] {
  const counted = verdict === 'error' ? messages.filter((message) => message.complete) : messages
  return counted.map(({ start, minor, fields, body, trailers, complete }) =>
    JSON.stringify(complete ? [start, minor, fields, body, trailers] : [start, minor, fields]),
  )
}
