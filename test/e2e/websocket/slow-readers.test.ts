// Much on its way at once: clients that stop reading while the endpoint pushes, and large messages of many clients.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import type { CleanupScope } from '../../support/cleanup.ts'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { connectHead, connectHttp2, echoOf, startClient, startEcho } from './kit.ts'

/** Opens a WebSocket and reads no further. Returns what sends on it all the same. */
type OpenAndStop = (t: CleanupScope, url: string) => Promise<() => void>

const clients: Record<string, OpenAndStop> = {
  'HTTP/1.1': async (t, url) => {
    const socket = net.connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => undefined)
    t.after(() => void socket.destroy())
    const fields = 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    socket.write(`GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n${fields}\r\n\r\n`)
    await once(socket, 'readable')
    socket.read(100)
    return () => void (socket.destroyed || socket.write('x'))
  },
  'HTTP/2': async (t, url) => {
    const session = await connectHttp2(t, url)
    const stream = session.request(connectHead('/'), { endStream: false })
    stream.on('error', () => undefined)
    await once(stream, 'response')
    stream.pause()
    return () => void (stream.destroyed || stream.write('x'))
  },
}

for (const [name, openAndStop] of Object.entries(clients)) {
  test(`a client of ${name} that does not read holds up the endpoint, and is given up when that lasts`, async (t) => {
    let poured = 0
    let isOpen = true
    const source = await startRawUpstream(t, (socket) => {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        isOpen = false
      })
      socket.once('data', (bytes) => {
        const key = /\r\nSec-WebSocket-Key: (\S+)\r\n/i.exec(String(bytes))?.[1] ?? ''
        const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
        const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}`
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`)
        socket.resume()
        // A binary frame without an end.
        socket.write(Buffer.from([0x82, 127, 0, 0, 0, 255, 0, 0, 0, 0]))
        const piece = Buffer.alloc(65_536)
        const pour = () => {
          while (!socket.destroyed && poured < 200_000_000) {
            poured += piece.length
            if (!socket.write(piece)) return void socket.once('drain', pour)
          }
        }
        pour()
      })
    })
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0', timeouts: { send: '1s' } } },
      services: { up: { endpoints: [source.address] } },
      routes: { all: { to: 'up' } },
    })
    const say = await openAndStop(t, sluice.url)
    // What it goes on saying does not make it a reader.
    const timer = setInterval(say, 100)
    t.after(() => clearInterval(timer))
    await waitFor('the end of the connection to the endpoint', () => !isOpen, { timeoutMs: 8000 })
    assert.ok(poured < 50_000_000, `${poured}`)
  })
}

for (const [down, up] of [
  ['h1', 'h1'],
  ['h2', 'h1'],
  ['h1', 'h2'],
] as const) {
  test(`large messages on many WebSockets at once from ${down} to ${up}: no byte of one is found in another`, async (t) => {
    const echo = await startEcho(t, up)
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: { up: { endpoints: [echo.address], protocol: up === 'h2' ? 'http2' : 'http1' } },
      routes: { all: { to: 'up' } },
    })
    const client = await startClient(t, down, sluice.url)
    const talk = async (id: number) => {
      const socket = await client.open()
      for (let round = 0; round < 6; round++) {
        const message = Buffer.alloc(60_000 + ((id * 7919 + round * 104_729) % 500_000), `${id}.${round} `)
        assert.ok((await echoOf(socket, message)).equals(message), `message ${round} of ${id}`)
      }
      socket.terminate()
    }
    await Promise.all(Array.from({ length: 24 }, (_, id) => talk(id)))
  })
}
