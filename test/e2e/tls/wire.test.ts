// A wire over TLS keeps the promises of a wire: nothing after it was asked to stop, nothing lost, nothing twice, one end.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import net, { type AddressInfo } from 'node:net'
import { after, type TestContext, test } from 'node:test'
import { createSecureContext } from 'node:tls'
import { acceptSecure, connectSecure, finishSecure } from '../../../src/base/tls-wire.ts'
import { Wire, type WireBuffer, type WireOwner } from '../../../src/base/wire.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, connect } from './kit.ts'

const authority = new Authority({ after })
const issued = authority.issue('a.test')
const options = {
  secureContext: createSecureContext({ cert: issued.cert, key: issued.key }),
  protocols: ['http/1.1'],
  contextFor: null,
  requestCert: false,
  requireCert: false,
}

class Owner implements WireOwner {
  wire: Wire | null = null
  readonly events: string[] = []
  isStopped = false
  accept: (bytes: Buffer) => boolean = () => true
  /** Called for every piece, copied. */
  onData(bytes: WireBuffer, length: number): boolean {
    assert.equal(this.isStopped, false, 'data came although the owner has asked to stop')
    this.isStopped = !this.accept(Buffer.from(bytes.subarray(0, length)))
    return !this.isStopped
  }
  resume(): void {
    this.isStopped = false
    this.wire?.resume()
  }
  onEnd(): void {
    this.events.push('end')
  }
  onDrain(): void {
    this.events.push('drain')
  }
  onClose(error: Error | null): void {
    this.events.push(error === null ? 'close' : `close ${(error as NodeJS.ErrnoException).code}`)
  }
}

/** A server whose connections end at these wires; resolves to its port. */
function listen(t: TestContext, start: (owner: Owner) => void): Promise<number> {
  const server = net.createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, (accepted) => {
    const socket = acceptSecure(accepted, options)
    if (socket === null) return
    socket.on('error', () => undefined)
    socket.once('secure', () => {
      finishSecure(socket)
      const owner = new Owner()
      owner.wire = Wire.accept(socket, owner)
      start(owner)
      owner.wire?.resume()
    })
  })
  t.after(() => void server.close())
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}

const untilClosed = (owner: Owner) => waitFor('the close', () => owner.events.some((event) => event.startsWith('close')))

test('an owner that stops after every piece gets all of it, in order, and the end last', async (t) => {
  const sent = randomBytes(1_500_000)
  const hash = createHash('sha256')
  let pieces = 0
  let total = 0
  const seen = new Promise<Owner>((resolve) => {
    void listen(t, (owner) => {
      owner.accept = (bytes) => {
        hash.update(bytes)
        pieces++
        total += bytes.length
        setImmediate(() => owner.resume())
        return false
      }
      resolve(owner)
    }).then((port) => connect(t, port).then(({ socket }) => socket.end(sent)))
  })
  const owner = await seen
  await waitFor('the end', () => owner.events.includes('end'))
  assert.equal(total, sent.length)
  assert.equal(hash.digest('hex'), createHash('sha256').update(sent).digest('hex'))
  assert.ok(pieces > 50)
  owner.wire?.end()
  await untilClosed(owner)
  assert.deepEqual(owner.events, ['end', 'close'])
})

test('asking twice to go on does not undo a later stop', async (t) => {
  const sent = randomBytes(300_000)
  let total = 0
  const seen = new Promise<Owner>((resolve) => {
    void listen(t, (owner) => {
      owner.accept = (bytes) => {
        total += bytes.length
        setTimeout(() => {
          owner.resume()
          owner.resume()
        }, 1)
        return false
      }
      resolve(owner)
    }).then((port) => connect(t, port).then(({ socket }) => socket.end(sent)))
  })
  const owner = await seen
  await waitFor('the end', () => owner.events.includes('end'))
  assert.equal(total, sent.length)
  owner.wire?.destroy()
})

test('a wire over TLS has no bulk buffer, and a write tells when it is done', async (t) => {
  const wires: Owner[] = []
  const port = await listen(t, (owner) => wires.push(owner))
  const { socket } = await connect(t, port)
  let got = 0
  socket.on('data', (piece: Buffer) => (got += piece.length))
  const owner = await waitFor('the wire', () => wires[0])
  owner.wire?.startBulk()
  assert.equal(owner.wire?.isBulk, false)
  const bytes = randomBytes(2_000_000)
  assert.equal(owner.wire?.writeBytes(bytes, 0, bytes.length, true), false)
  await waitFor('all of it', () => owner.events.includes('drain') && got === bytes.length)
  assert.equal(owner.wire?.writeGathered('head', bytes, 0, 10_000, 'tail', false), true)
  await waitFor('the rest', () => got === bytes.length + 10_008)
  owner.wire?.destroy()
})

test('a reset is seen as one, and closes the wire once', async (t) => {
  const wires: Owner[] = []
  const port = await listen(t, (owner) => wires.push(owner))
  const { socket } = await connect(t, port)
  socket.removeAllListeners('error')
  const error = new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve))
  socket.resume()
  const owner = await waitFor('the wire', () => wires[0])
  owner.wire?.reset()
  assert.equal((await error).code, 'ECONNRESET')
  await untilClosed(owner)
  owner.wire?.reset()
  owner.wire?.resume()
  assert.deepEqual(owner.events, ['close'])
})

test('a wire that connects is connected when the other side is believed, and closes with the reason when it is not', async (t) => {
  const port = await listen(t, (owner) => {
    owner.accept = (bytes) => owner.wire?.writeBytes(bytes, 0, bytes.length, false) ?? true
  })
  const tcp = { host: '127.0.0.1', port }
  const sessions: Buffer[] = []
  const good = new Owner()
  let echoed = ''
  good.accept = (bytes) => {
    echoed += bytes.toString('latin1')
    return true
  }
  const tls = { ca: authority.cert, servername: 'a.test' }
  good.wire = connectSecure({ tcp, tls, session: null, onSession: (session) => sessions.push(session) }, good, () => {
    good.wire?.writeText('hello')
  })
  await waitFor('the echo', () => echoed === 'hello')
  assert.ok(sessions.length > 0)
  good.wire.destroy()
  const bad = new Owner()
  const unknown = { tcp, tls: { servername: 'a.test' }, session: null, onSession: () => undefined }
  bad.wire = connectSecure(unknown, bad, () => assert.fail('not believed'))
  await untilClosed(bad)
  assert.deepEqual(bad.events, ['close UNABLE_TO_VERIFY_LEAF_SIGNATURE'])
})

/** `unsentBytes` when it has stopped changing. */
async function standstill(wire: Wire): Promise<number> {
  let last = -1
  await waitFor(
    'a standstill',
    () => {
      const before = last
      last = wire.unsentBytes
      return last === before
    },
    { everyMs: 200 },
  )
  return last
}

test('what is unsent shrinks as the client reads, and only then', async (t) => {
  const wires: Owner[] = []
  const port = await listen(t, (owner) => wires.push(owner))
  const { socket } = await connect(t, port)
  socket.pause()
  const { wire } = await waitFor('the wire', () => wires[0])
  assert.ok(wire !== null)
  assert.equal(wire.unsentBytes, 0)
  const bytes = randomBytes(24_000_000)
  wire.writeBytes(bytes, 0, bytes.length, true)
  const before = await standstill(wire)
  assert.ok(before > 0)
  let got = 0
  socket.on('data', (piece: Buffer) => {
    got += piece.length
    if (got >= 12_000_000) socket.pause()
  })
  socket.resume()
  await waitFor('half of it', () => got >= 12_000_000)
  const later = await standstill(wire)
  assert.ok(later > 0 && later < before, `${before} ${later}`)
  socket.removeAllListeners('data').resume()
  await waitFor('nothing', () => wire.unsentBytes === 0)
  wire.destroy()
})
