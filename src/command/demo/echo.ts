import type { DemoHandler } from './service.ts'
import { replyJson } from './service.ts'

/** Beyond this the body is read, counted and not sent back. */
const MAX_ECHO_BYTES = 64 * 1024
const MAX_EVENTS = 1000

/**
 * Answers with what it received: method, path, query, headers, body. `/stream?count=5&ms=500` sends server-sent events instead, one
 * each `ms`.
 */
export function createEcho(name: string): DemoHandler {
  return (request, response, url) => {
    if (url.pathname.endsWith('/stream')) {
      streamEvents(response, name, readNumber(url, 'count', 5, MAX_EVENTS), readNumber(url, 'ms', 500, 60_000))
      return
    }
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= MAX_ECHO_BYTES) chunks.push(chunk)
    })
    request.on('end', () => {
      const body = bytes > MAX_ECHO_BYTES ? `(${bytes} bytes)` : Buffer.concat(chunks).toString()
      const query = Object.fromEntries(url.searchParams)
      replyJson(response, 200, { service: name, method: request.method, path: url.pathname, query, headers: request.headers, bytes, body })
    })
  }
}

function streamEvents(response: Parameters<DemoHandler>[1], name: string, count: number, ms: number): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  let sent = 0
  const send = () => {
    sent++
    response.write(`id: ${sent}\ndata: {"service":"${name}","event":${sent},"of":${count}}\n\n`)
    if (sent < count) return
    clearInterval(timer)
    response.end()
  }
  const timer = setInterval(send, ms)
  response.on('close', () => clearInterval(timer))
  send()
}

/** A whole number of the query from 1 to `max`, or the default. */
export function readNumber(url: URL, name: string, fallback: number, max: number): number {
  const value = Number(url.searchParams.get(name) ?? fallback)
  return Number.isInteger(value) && value >= 1 ? Math.min(value, max) : fallback
}
