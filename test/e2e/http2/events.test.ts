// Server-sent events over HTTP/2: each is there before the next is sent, beside other streams of the connection.
import assert from 'node:assert/strict'
import type http from 'node:http'
import { test } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { ask, connect } from './kit.ts'
import { startHttp2Upstream } from './upstream-kit.ts'

const HEAD = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }

for (const up of ['HTTP/1.1', 'HTTP/2'] as const) {
  test(`events from an endpoint of ${up} arrive one by one, and the endpoint learns when the client has left`, async (t) => {
    let write: (text: string) => void = () => assert.fail('nobody has asked')
    let isOpen = false
    const onClose = () => {
      isOpen = false
    }
    const http1 = (request: http.IncomingMessage, response: http.ServerResponse) => {
      if (request.url !== '/events') return void response.end('plain')
      isOpen = true
      response.writeHead(200, HEAD).flushHeaders()
      response.on('close', onClose)
      write = (text) => void response.write(text)
    }
    const upstream =
      up === 'HTTP/1.1'
        ? await startUpstream(t, http1)
        : await startHttp2Upstream(t, (stream, headers) => {
            stream.respond({ ':status': 200, ...HEAD })
            if (headers[':path'] !== '/events') return void stream.end('plain')
            isOpen = true
            stream.on('close', onClose)
            write = (text) => void stream.write(text)
          })
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: { up: { endpoints: [upstream.address], protocol: up === 'HTTP/2' ? 'http2' : 'http1' } },
      routes: { all: { to: 'up' } },
    })
    const session = connect(t, sluice.port())
    const stream = session.request({ ':path': '/events', accept: 'text/event-stream' })
    let text = ''
    let type: unknown = null
    stream.setEncoding('utf8')
    stream.on('response', (head) => {
      type = head['content-type']
    })
    stream.on('data', (more: string) => {
      text += more
    })
    stream.on('error', () => undefined)
    await waitFor('the head, before any event', () => type === 'text/event-stream')
    for (let i = 0; i < 10; i++) {
      write(`data: ${i}\n\n`)
      await waitFor(`event ${i}`, () => text.endsWith(`data: ${i}\n\n`))
      if (i % 3 === 0) assert.equal((await ask(session, { ':path': '/other' })).body, 'plain')
    }
    assert.equal(isOpen, true)
    stream.close()
    await waitFor('the end at the endpoint', () => !isOpen)
  })
}
