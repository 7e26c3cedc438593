/** RFC 9113 sections 3.2 and 9.2: what HTTP/2 asks of TLS. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { hello, rawClient, SETTINGS } from '../e2e/http2/kit.ts'
import type { CleanupScope } from '../support/cleanup.ts'
import { startSuite } from './kit.ts'

const suite = await startSuite({ after })

/** A connection with these options. Rejects when the handshake fails. */
async function open(scope: CleanupScope, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const common = { port: suite.port('TLS'), host: '127.0.0.1', ca: suite.ca, servername: 'a.test', ALPNProtocols: ['h2', 'http/1.1'] }
  const socket = tls.connect({ ...common, ...options })
  scope.after(() => void socket.destroy())
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  socket.on('error', () => {})
  return socket
}

test('3.2: the gateway chooses h2 when it is offered, also behind http/1.1', async (t) => {
  assert.equal((await open(t)).alpnProtocol, 'h2')
  assert.equal((await open(t, { ALPNProtocols: ['http/1.1', 'h2'] })).alpnProtocol, 'h2')
})

test('3.2: h2c is no name for a protocol over TLS', async (t) => {
  await assert.rejects(open(t, { ALPNProtocols: ['h2c'] }))
})

test('9.2: the first thing the gateway says is SETTINGS', async (t) => {
  const client = rawClient(await open(t))
  client.send(hello())
  await client.frame(({ type }) => type === SETTINGS)
  assert.equal(client.frames[0]?.type, SETTINGS)
})

test('9.2: TLS 1.2 and 1.3 are spoken, and nothing older', async (t) => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await open(t, { minVersion: version, maxVersion: version })
    assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], [version, 'h2'])
  }
  // Without a security level of 0 the client itself would refuse to ask.
  await assert.rejects(open(t, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }))
})

test('9.2.2: ciphers of TLS 1.2 that are prohibited are not agreed on', async (t) => {
  for (const ciphers of ['ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384', 'ECDHE-ECDSA-AES128-SHA256']) {
    await assert.rejects(open(t, { maxVersion: 'TLSv1.2', ciphers }), ciphers)
  }
  const { name } = (await open(t, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).getCipher()
  assert.equal(name, 'ECDHE-ECDSA-AES128-GCM-SHA256')
})

test('9.2.1: the gateway takes no part in a renegotiation', async (t) => {
  const socket = await open(t, { maxVersion: 'TLSv1.2' })
  const client = rawClient(socket)
  client.send(hello())
  await client.frame(({ type }) => type === SETTINGS)
  let tookPart = false
  socket.renegotiate({}, (error) => (tookPart = error === null))
  // Who takes part does so in one round trip. Who does not says nothing that the client's API would tell.
  await sleep(300)
  assert.equal(tookPart, false)
  assert.equal((await open(t)).alpnProtocol, 'h2')
})

test('5.4.1: a record that cannot be decrypted ends the connection at once', async (t) => {
  const tcp = net.connect({ port: suite.port('TLS'), host: '127.0.0.1' })
  t.after(() => void tcp.destroy())
  const client = rawClient(await open(t, { socket: tcp }))
  client.send(hello())
  await client.frame(({ type }) => type === SETTINGS)
  const closed = new Promise<string>((resolve) => {
    tcp.once('close', () => resolve('closed'))
    setTimeout(() => resolve('open after five seconds'), 5000).unref()
  })
  // An application-data record of 32 bytes that nobody has encrypted.
  tcp.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 32]), Buffer.alloc(32)]))
  assert.equal(await closed, 'closed')
})
