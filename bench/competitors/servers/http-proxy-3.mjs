// Usage: node http-proxy-3.mjs PORT UPSTREAM_PORT ROUTES
import { Agent, createServer } from 'node:http'
import { createProxyServer } from 'http-proxy-3'

const [port, upstreamPort, routeCount] = process.argv.slice(2).map(Number)
const agent = new Agent({ keepAlive: true, maxFreeSockets: 256 })
const proxy = createProxyServer({ agent, xfwd: true })
const rest = { target: `http://127.0.0.1:${upstreamPort}` }

// The package has no router: a map over the first path segment is the cheapest that does the work.
const routes = new Map()
for (let route = 0; route < routeCount; route++) routes.set(`/r${String(route).padStart(5, '0')}`, { ...rest })

proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response && !response.headersSent) response.writeHead(502)
  response.end()
})

const server = createServer((request, response) => {
  const url = request.url
  const end = url.indexOf('/', 1)
  proxy.web(request, response, (end === -1 ? undefined : routes.get(url.slice(0, end))) ?? rest)
})
server.keepAliveTimeout = 75_000
server.listen(port, '127.0.0.1', 4096)
