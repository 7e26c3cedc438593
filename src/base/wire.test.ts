import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { MAX_BULK_BUFFERS, Wire, type WireBuffer, type WireOwner } from './wire.ts'

/** Wants a buffer of its own with its first byte, and keeps it. */
class Greedy implements WireOwner {
  wire: Wire | null = null
  received = ''
  onData(bytes: WireBuffer, length: number): boolean {
    this.received += bytes.latin1Slice(0, length)
    this.wire?.startBulk()
    return true
  }
  onEnd(): void {
    this.wire?.destroy()
  }
  onDrain(): void {}
  onClose(): void {}
}

async function until(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !isDone(); i++) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(isDone())
}

test('connections that keep their bulk buffers are bounded in number, are served all the same, and make room when they close', async (t) => {
  const owners: Greedy[] = []
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    const owner = new Greedy()
    owner.wire = Wire.accept(socket, owner)
    owners.push(owner)
    owner.wire?.resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as net.AddressInfo
  const bulk = () => owners.filter(({ wire }) => wire?.isBulk).length

  const open = async (count: number): Promise<net.Socket[]> => {
    const sockets = Array.from({ length: count }, () => net.connect(port, '127.0.0.1'))
    for (const socket of sockets) socket.write('one')
    await until(() => owners.length === count && owners.every(({ received }) => received === 'one'))
    for (const socket of sockets) socket.write('two')
    await until(() => owners.every(({ received }) => received === 'onetwo'))
    return sockets
  }
  for (let round = 0; round < 2; round++) {
    const sockets = await open(MAX_BULK_BUFFERS + 20)
    assert.equal(bulk(), MAX_BULK_BUFFERS, `round ${round}`)
    for (const socket of sockets) socket.destroy()
    await until(() => bulk() === 0)
    owners.length = 0
  }
})
