// Usage: node fastify-http-proxy.mjs PORT UPSTREAM_PORT ROUTES
import httpProxy from '@fastify/http-proxy'
import fastify from 'fastify'
import { Pool } from 'undici'

const [port, upstreamPort, routeCount] = process.argv.slice(2).map(Number)
const upstream = `http://127.0.0.1:${upstreamPort}`
// One pool for all routes; each registration would open its own otherwise.
const undici = new Pool(upstream, { connections: 128, pipelining: 1, keepAliveTimeout: 75_000 })
const app = fastify({ logger: false, keepAliveTimeout: 75_000 })

const replyOptions = {
  rewriteRequestHeaders(request, headers) {
    const before = headers['x-forwarded-for']
    const address = request.socket.remoteAddress
    return { ...headers, 'x-forwarded-for': before === undefined ? address : `${before}, ${address}` }
  },
}

for (let route = 0; route < routeCount; route++) {
  const prefix = `/r${String(route).padStart(5, '0')}`
  app.register(httpProxy, { upstream, prefix, rewritePrefix: prefix, undici, replyOptions, disableRequestLogging: true })
}
app.register(httpProxy, { upstream, prefix: '/', undici, replyOptions, disableRequestLogging: true })
await app.listen({ port, host: '127.0.0.1', backlog: 4096 })
