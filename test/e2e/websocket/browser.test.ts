// A real browser: from a page over TLS it opens wss on the page's own HTTP/2 connection, from a page without TLS plain ws.
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import { openInBrowser } from '../../support/browser.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority } from '../tls/kit.ts'

const PAGE = `<!doctype html><title>page</title><body><p id="out">waiting</p><img src="/hold"><script type="module">
const results = []
const url = location.origin.replace('http', 'ws')
const open = (path, protocols = []) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url + path, protocols)
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => resolve(socket)
  socket.onerror = () => reject(new Error('cannot open ' + path))
})
const next = (socket, type) => new Promise((resolve) => { socket['on' + type] = resolve })
const ask = async (socket, data) => { const answer = next(socket, 'message'); socket.send(data); return (await answer).data }
try {
  const socket = await open('/echo', ['chat.v1', 'chat.v2'])
  results.push(socket.protocol, await ask(socket, 'Grüße'))
  results.push(new Uint8Array(await ask(socket, new Uint8Array([0, 255, 1]))).join(' '))
  const large = new Uint8Array(1024 * 1024).map((_, i) => (i * 2654435761) >>> 24)
  const echoed = new Uint8Array(await ask(socket, large))
  results.push(echoed.length === large.length && echoed.every((byte, i) => byte === large[i]) ? '1 MiB' : 'damaged')
  let closed = next(socket, 'close')
  socket.close(4001, 'page says bye')
  results.push((await closed).code)
  const pushed = []
  const push = new WebSocket(url + '/push')
  closed = next(push, 'close')
  push.onmessage = ({ data }) => pushed.push(data)
  const end = await closed
  results.push(pushed.join('+'), end.code, end.reason, end.wasClean)
  results.push(await open('/refused').then(() => 'opened', (error) => error.message))
} catch (error) {
  results.push(String(error))
}
document.getElementById('out').textContent = results.join('|')
await fetch('/done', { method: 'POST' })
</script></body>`

const EXPECTED = 'chat.v2|Grüße|0 255 1|1 MiB|4001|push 0+push 1+push 2|4002|server says bye|true|cannot open /refused'

interface Site {
  address: string
  closes: string[]
  /** The Via of each handshake. */
  vias: (string | undefined)[]
}

async function startSite(): Promise<Site> {
  const site: Site = { address: '', closes: [], vias: [] }
  let release: () => void = () => undefined
  const done = new Promise<void>((resolve) => {
    release = resolve
  })
  const server = http.createServer((request, response) => {
    // The page is loaded, and its document printed, when this image has come.
    if (request.url === '/hold') return void done.then(() => response.writeHead(404).end())
    if (request.method === 'POST') release()
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE)
  })
  const sockets = new WebSocketServer({ server, handleProtocols: () => 'chat.v2', perMessageDeflate: true })
  sockets.on('connection', (socket: WebSocket, request) => {
    site.vias.push(request.headers.via)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on('close', (code, reason) => site.closes.push(`${code} ${reason}`))
    if (request.url !== '/push') return
    for (let i = 0; i < 3; i++) setTimeout(() => socket.send(`push ${i}`), 50 * i)
    setTimeout(() => socket.close(4002, 'server says bye'), 200)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    for (const client of sockets.clients) client.terminate()
    sockets.close()
    server.close()
    server.closeAllConnections()
  })
  site.address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return site
}

const authority = new Authority({ after })
const { certPath, keyPath } = authority.issue('localhost', { names: 'DNS:localhost,IP:127.0.0.1' })

for (const [name, isSecure, via] of [
  ['wss over HTTP/2', true, '2.0 sluice'],
  ['ws over HTTP/1.1', false, '1.1 sluice'],
] as const) {
  test(`a page in a browser speaks ${name}: text, binary, 1 MiB, close codes of both sides, and what the server pushes`, {
    timeout: 120_000,
  }, async (t) => {
    const site = await startSite()
    const tls = { certificates: [{ cert: certPath, key: keyPath }] }
    const sluice = await startSluice(t, {
      workers: 1,
      accessLog: { path: '-', format: '${path} ${status}' },
      listeners: { web: { address: '127.0.0.1:0', ...(isSecure ? { tls } : {}) } },
      services: { site: { endpoints: [site.address] } },
      routes: {
        site: { match: { prefix: '/' }, to: 'site' },
        refused: { match: { prefix: '/refused' }, to: 'site', websocket: false },
      },
    })
    const url = `${isSecure ? 'https' : 'http'}://127.0.0.1:${sluice.port()}/`
    const { stdout, stderr } = await openInBrowser(t, url, '--ignore-certificate-errors', '--timeout=15000')
    const out = /<p id="out">(.*)<\/p>/.exec(stdout)?.[1]
    assert.equal(out, EXPECTED, stdout + stderr.slice(-2000))
    assert.deepEqual(site.vias, [via, via])
    assert.deepEqual(site.closes, ['4001 page says bye', '4002 server says bye'])
    await waitFor('the log', () => sluice.logs.includes('/refused 403') && sluice.logs.includes('/push 101'))
  })
}
