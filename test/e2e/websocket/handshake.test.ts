// Handshakes as raw bytes: what counts as asking for a WebSocket, and what the endpoint makes of frames that break the rules.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rawRequest } from '../../support/raw.ts'
import { startSluice } from '../../support/sluice.ts'
import { startEcho } from './kit.ts'

function handshake(...lines: string[]): string {
  const fixed = ['Host: a', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
  return ['GET / HTTP/1.1', ...fixed, ...lines, '', ''].join('\r\n')
}

test('WebSocket may stand anywhere in Upgrade, and Upgrade anywhere in Connection; a body may not come with it', async (t) => {
  const echo = await startEcho(t, 'h1')
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { s: { endpoints: [echo.address] } },
    routes: { r: { websocket: { only: true }, to: 's' } },
  })
  const statusOf = async (text: string) => {
    const answer = await rawRequest(sluice.port(), text, { until: (got) => got.includes('\r\n\r\n') })
    return Number(/^HTTP\/1\.1 (\d+)/.exec(answer.text)?.[1])
  }
  const connection = 'Connection: keep-alive, Upgrade'
  assert.equal(await statusOf(handshake(connection, 'Upgrade: WebSocket')), 101)
  assert.equal(await statusOf(handshake(connection, 'Upgrade: h2c, websocket')), 101)
  assert.equal(await statusOf(handshake(connection, 'Upgrade: websocket,h2c')), 101)
  assert.equal(await statusOf(handshake(connection, 'Upgrade: h2c', 'Upgrade: websocket')), 101)
  assert.equal(await statusOf(handshake(connection, 'Upgrade: websocket2')), 426)
  assert.equal(await statusOf(handshake('Connection: keep-alive', 'Upgrade: websocket')), 426)
  assert.equal(await statusOf(`${handshake(connection, 'Upgrade: websocket', 'Content-Length: 1')}x`), 400)
  assert.equal(await statusOf(`${handshake(connection, 'Upgrade: websocket', 'Transfer-Encoding: chunked')}0\r\n\r\n`), 400)
  // A fragmented Ping: the endpoint ends it with 1002, which reaches the client.
  const ping = Buffer.from([0x09, 0x80, 1, 2, 3, 4])
  const { text } = await rawRequest(sluice.port(), [handshake(connection, 'Upgrade: websocket'), ping], { pauseMs: 50 })
  assert.equal(Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1').toString('hex'), '880203ea')
})
