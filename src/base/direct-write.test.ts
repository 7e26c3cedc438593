import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWriteError, DirectWrite, directWrite, findStreamWrap, type StreamWrap, type WritableHandle } from './direct-write.ts'
import { Wire, type WireOwner } from './wire.ts'

/** A wire connected to a socket that does not read yet. */
async function openPair(t: TestContext): Promise<{ wire: Wire; other: net.Socket; calls: { drains: number; closes: (Error | null)[] } }> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const calls = { drains: 0, closes: [] as (Error | null)[] }
  const owner: WireOwner = {
    onData: () => true,
    onEnd: () => {},
    onDrain: () => void calls.drains++,
    onClose: (error) => void calls.closes.push(error),
  }
  const accepted = once(server, 'connection')
  const { promise, resolve } = Promise.withResolvers<void>()
  const wire = Wire.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }, owner, resolve)
  const [[other]] = await Promise.all([accepted, promise])
  t.after(() => {
    wire.destroy()
    other.destroy()
    server.close()
  })
  return { wire, other: other as net.Socket, calls }
}

async function readAll(socket: net.Socket): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of socket) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString('latin1')
}

/** How often the stream of a socket is asked to write. */
function countStreamWrites(wire: Wire): () => number {
  let count = 0
  const { socket } = wire
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  socket.write = ((...args: unknown[]) => {
    count++
    return write(...args)
  }) as typeof socket.write
  return () => count
}

test('this Node.js has what writing on the handle needs', () => {
  assert.notEqual(directWrite, null, 'every write goes through net.Socket now: see what changed in lib/internal/stream_base_commons.js')
})

test('a Node.js without it, or with something else in its place, is seen', () => {
  const wrap = findStreamWrap(process) as StreamWrap
  const of = (changed: object) => findStreamWrap({ binding: () => ({ ...wrap, ...changed }) })
  assert.notEqual(of({}), null)
  assert.equal(of({ WriteWrap: undefined }), null)
  assert.equal(of({ streamBaseState: [0, 0, 0, 0] }), null)
  assert.equal(of({ kLastWriteWasAsync: 99 }), null)
  assert.equal(findStreamWrap({}), null)
})

test('text and bytes that the kernel takes at once never come into the stream', async (t) => {
  const { wire, other } = await openPair(t)
  const streamWrites = countStreamWrites(wire)
  assert.equal(wire.writeText('one '), true)
  assert.equal(wire.writeBytes(Buffer.from('two '), 0, 4, false), true)
  assert.equal(wire.writeBytes(Buffer.from('three '), 0, 6, true), true)
  assert.equal(wire.pendingBytes, 0)
  assert.equal(streamWrites(), 0)
  wire.writeGathered('four ', Buffer.from('five '), 0, 5, 'six', false)
  wire.end()
  assert.equal(await readAll(other), 'one two three four five six')
})

for (const stable of [false, true]) {
  test(`what a slow reader leaves over comes in order, before the FIN (stable: ${stable})`, async (t) => {
    const { wire, other, calls } = await openPair(t)
    const sent: string[] = []
    let proceed = true
    for (let i = 0; proceed && i < 10_000; i++) {
      const piece = `${i} `.padEnd(8000, 'x')
      sent.push(piece)
      proceed = wire.writeBytes(Buffer.from(piece, 'latin1'), 0, 8000, stable)
    }
    assert.equal(proceed, false)
    assert.ok(wire.pendingBytes > 0)
    assert.equal(calls.drains, 0)
    const text = 'behind it'
    sent.push(text, text)
    wire.writeText(text)
    const reading = readAll(other)
    // The order holds while it drains, too.
    for (let i = 0; calls.drains === 0 && i < 2000; i++) await sleep(5)
    wire.writeText(text)
    wire.end()
    assert.ok((await reading) === sent.join(''))
    assert.ok(calls.drains > 0)
    assert.equal(wire.pendingBytes, 0)
  })
}

test('a socket that is closed with a write under way closes once', async (t) => {
  const { wire, calls } = await openPair(t)
  for (let i = 0; wire.writeText('x'.repeat(16_000)) && i < 10_000; i++);
  assert.ok(wire.pendingBytes > 0)
  const closed = once(wire.socket, 'close')
  wire.destroy()
  assert.equal(wire.writeText('late'), false)
  await closed
  assert.equal(calls.closes.length, 1)
})

test('a write that the system refuses is an error as Node makes it', async (t) => {
  const { wire, calls } = await openPair(t)
  wire.readsAfterWriteError = false
  const refusing = { writeLatin1String: () => -32 } as unknown as WritableHandle
  const { _handle: handle } = wire.socket as unknown as { _handle: WritableHandle }
  handle.writeLatin1String = refusing.writeLatin1String
  wire.writeText('lost')
  for (let i = 0; calls.closes.length === 0 && i < 2000; i++) await sleep(5)
  const { code, syscall, errno, message } = calls.closes[0] as NodeJS.ErrnoException
  assert.deepEqual({ code, syscall, errno, message }, { code: 'EPIPE', syscall: 'write', errno: -32, message: 'write EPIPE' })
  assert.equal(createWriteError(-104).message, 'write ECONNRESET')
})

test('a request that Node has taken hold of serves no other write', () => {
  const wrap = findStreamWrap(process) as StreamWrap
  const state = new Int32Array(wrap.streamBaseState.length)
  const direct = new DirectWrite({ ...wrap, streamBaseState: state })
  const used: object[] = []
  const handle: WritableHandle = {
    writeLatin1String: (request) => used.push(request) * 0,
    writeBuffer: (request) => used.push(request) * 0,
  }
  assert.equal(direct.text(handle, 'a'), null)
  assert.equal(direct.text(handle, 'b'), null)
  assert.equal(used[0], used[1])
  state[wrap.kLastWriteWasAsync] = 1
  const bytes = Buffer.from('c')
  const begun = direct.bytes(handle, bytes)
  assert.equal(begun, used[2])
  assert.equal(begun?.bytes, bytes)
  state[wrap.kLastWriteWasAsync] = 0
  assert.equal(direct.text(handle, 'd'), null)
  assert.notEqual(used[3], begun)
  let ended: Error | null | undefined
  if (begun !== null) begun.onEnd = (error) => (ended = error)
  begun?.oncomplete(0)
  assert.equal(ended, null)
  assert.equal(begun?.bytes, null)
})
