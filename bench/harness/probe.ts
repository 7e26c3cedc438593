import { once } from 'node:events'
import { get, type RequestOptions } from 'node:http'
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { get as getSecure } from 'node:https'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Protocol, UpstreamName } from '../types.ts'
import type { Running } from './processes.ts'

/** How long a program has from its start to its first good answer. */
const READY_MS = 20_000
const REQUEST_MS = 2000
/** A gRPC message without content: not compressed, length 0. */
const EMPTY_MESSAGE = Buffer.alloc(5)

/** What came back. */
export interface Answer {
  readonly status: number
  readonly body: Buffer
  readonly trailers: IncomingHttpHeaders
}

/** Waits until the upstream answers through the program. Throws with the end of its log when it ends, or when it takes too long. */
export async function waitUntilReady(running: Running, port: number, protocol: Protocol, upstream: UpstreamName): Promise<void> {
  const deadline = performance.now() + READY_MS
  let last = 'no answer'
  while (performance.now() < deadline) {
    if (!running.alive()) throw new Error(`${running.name} ended while starting: ${running.log()}`)
    try {
      const { status } = await ask(port, protocol, upstream, '/r00000/x')
      if (status === 200) return
      last = `status ${status}`
    } catch (error) {
      last = (error as Error).message
    }
    await sleep(50)
  }
  throw new Error(`${running.name} was not ready after ${READY_MS / 1000} s (${last}): ${running.log()}`)
}

/** One question in the protocol of a scenario. A path below a route stands for the one that the upstream has there. */
export function ask(port: number, protocol: Protocol, upstream: UpstreamName, path: string): Promise<Answer> {
  if (upstream === 'redis') return askRedis(port)
  if (protocol === 'http2') return askHttp2(port, { ':path': path }, null)
  if (protocol === 'grpc') {
    const headers = { ':method': 'POST', ':path': `${path}.grpc`, 'content-type': 'application/grpc', te: 'trailers' }
    return askHttp2(port, headers, EMPTY_MESSAGE)
  }
  return askHttp1(protocol === 'https' ? getSecure : get, port, path)
}

function askHttp1(send: typeof get, port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions & { rejectUnauthorized: boolean } = {
      host: '127.0.0.1',
      port,
      path,
      agent: false,
      rejectUnauthorized: false,
    }
    const request = send({ ...options, timeout: REQUEST_MS }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks), trailers: {} }))
    })
    request.on('timeout', () => request.destroy(new Error('no answer in time')))
    request.on('error', reject)
  })
}

function askHttp2(port: number, headers: Record<string, string>, body: Buffer | null): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    const request = session.request(headers, { endStream: body === null })
    const limit = setTimeout(() => request.destroy(new Error('no answer in time')), REQUEST_MS)
    const chunks: Buffer[] = []
    let status = 0
    let trailers: IncomingHttpHeaders = {}
    request.on('response', (head) => (status = Number(head[':status'])))
    request.on('trailers', (fields) => (trailers = fields))
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => resolve({ status, body: Buffer.concat(chunks), trailers }))
    request.on('error', reject)
    session.on('error', reject)
    request.on('close', () => {
      clearTimeout(limit)
      session.destroy()
      reject(new Error('closed without an answer'))
    })
    if (body !== null) request.end(body)
  })
}

async function askRedis(port: number): Promise<Answer> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.write('PING\r\n')
    const [bytes] = (await once(socket, 'data', { signal: AbortSignal.timeout(REQUEST_MS) })) as [Buffer]
    return { status: bytes.toString() === '+PONG\r\n' ? 200 : 500, body: Buffer.alloc(0), trailers: {} }
  } finally {
    socket.destroy()
  }
}
