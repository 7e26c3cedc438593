import http from 'node:http'
import type net from 'node:net'
import { serveWebSocket } from './websocket.ts'

/** An example service of `sluice demo`, listening. */
export interface DemoService {
  name: string
  port: number
  close(): Promise<void>
}

/** Answers one request; `url` has a path that starts with a slash, and a query. */
export type DemoHandler = (request: http.IncomingMessage, response: http.ServerResponse, url: URL) => void

/** Starts a service of HTTP and WebSocket on loopback. Port 0 lets the system choose. Rejects with an error for people when the port is taken. */
export function startDemoService(name: string, port: number, handler: DemoHandler): Promise<DemoService> {
  const server = http.createServer((request, response) => {
    response.setHeader('x-service', name)
    const url = URL.parse(request.url ?? '/', 'http://localhost')
    if (url === null) response.writeHead(400).end()
    else handler(request, response, url)
  })
  server.on('upgrade', (request, socket, first) => serveWebSocket(name, request, socket, first))
  // The gateway keeps connections to services for 90 s; a service must not close them first.
  server.keepAliveTimeout = 120_000
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return listen(server, name, port, close)
}

/** Rejects with an error for people when the port is taken. */
export function listen(server: net.Server, name: string, port: number, close: () => Promise<void>): Promise<DemoService> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? portTaken(name, port) : error))
    server.listen(port, '127.0.0.1', () => resolve({ name, port: (server.address() as net.AddressInfo).port, close }))
  })
}

function portTaken(name: string, port: number): Error {
  const message = `port ${port}, where the demo starts its service ${name}, is taken; is another demo running? "ss -ltnp" tells who has it`
  return Object.assign(new Error(message), { code: 'EADDRINUSE' })
}

/** A JSON answer with a line break at the end, for terminals. */
export function replyJson(response: http.ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value, null, 2)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
}
