// A real browser through the gateway: a page with its resources, a module, a fetch, and a stream of events.
import assert from 'node:assert/strict'
import type http from 'node:http'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { openInBrowser } from '../../support/browser.ts'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'

const PAGE = `<!doctype html><title>page</title><link rel="stylesheet" href="/assets/style.css"><body>
<img src="/assets/dot.svg" onload="this.dataset.loaded='yes'"><img src="/assets/dot.svg?2"><p id="out">waiting</p>
<script src="/assets/plain.js"></script><script type="module" src="/assets/module.js"></script></body>`

const MODULE = `import { word } from './word.js'
const events = []
const source = new EventSource('/events')
const done = new Promise((resolve, reject) => {
  source.onmessage = ({ data }) => { events.push(data); if (data === 'last') { source.close(); resolve() } }
  source.onerror = () => reject(new Error('the event stream broke'))
})
const posted = await (await fetch('/echo', { method: 'POST', body: 'x'.repeat(200000) })).text()
await done
const color = getComputedStyle(document.body).color
document.getElementById('out').textContent = ['all there', window.plain, word, posted, color, events.join('+')].join('|')
`

const FILES: Record<string, [type: string, body: string]> = {
  '/': ['text/html', PAGE],
  '/assets/style.css': ['text/css', 'body { color: rgb(1, 2, 3) }'],
  '/assets/dot.svg': ['image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>'],
  '/assets/plain.js': ['text/javascript', "window.plain = 'plain'"],
  '/assets/module.js': ['text/javascript', MODULE],
  '/assets/word.js': ['text/javascript', "export const word = 'word'"],
}

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const path = request.url!.replace(/\?.*/, '')
  const file = FILES[path]
  if (path === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const messages = ['first', 'second', 'last']
    const timer = setInterval(() => {
      const message = messages.shift()
      if (message === undefined) clearInterval(timer)
      else response.write(`data: ${message}\n\n`)
    }, 50)
    request.on('close', () => clearInterval(timer))
  } else if (path === '/echo') {
    let length = 0
    request.on('data', (data: Buffer) => {
      length += data.length
    })
    request.on('end', () => response.end(String(length)))
  } else if (file === undefined) {
    response.writeHead(404).end()
  } else {
    const body = gzipSync(file[1])
    response.writeHead(200, { 'content-type': file[0], 'content-encoding': 'gzip', 'content-length': body.length }).end(body)
  }
}

test('a browser loads a page with its resources, posts, and hears every event of a stream', { timeout: 120_000 }, async (t) => {
  const upstream = await startUpstream(t, answer)
  const sluice = await startSluice(t, {
    workers: 2,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { site: { endpoints: [upstream.address] } },
    routes: { site: { match: { prefix: '/' }, to: 'site' } },
  })
  const { stdout, stderr } = await openInBrowser(t, `${sluice.url}/`, '--timeout=20000', '--virtual-time-budget=8000')
  assert.match(stdout, /<p id="out">all there\|plain\|word\|200000\|rgb\(1, 2, 3\)\|first\+second\+last<\/p>/, stdout + stderr)
  assert.match(stdout, /data-loaded="yes"/)
})
