import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, it } from 'node:test'
import tls from 'node:tls'
import { type ClientHello, type ClientHelloResult, MAX_CLIENT_HELLO_BYTES, parseClientHello } from './tls-hello.ts'

function sized(bytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(bytes)
  length.writeUIntBE(content.length, 0, bytes)
  return Buffer.concat([length, content])
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 0xff]), sized(2, content)])
}

function serverName(name: string, type = 0): Buffer {
  return extension(0, sized(2, Buffer.concat([Buffer.from([type]), sized(2, Buffer.from(name, 'latin1'))])))
}

function protocols(...names: string[]): Buffer {
  return extension(16, sized(2, Buffer.concat(names.map((name) => sized(1, Buffer.from(name))))))
}

/** A greeting as one handshake message, without record headers. */
function handshake(extensions: Buffer[] | null, sessionId = Buffer.alloc(32)): Buffer {
  const body = [
    Buffer.from('0303', 'hex'),
    Buffer.alloc(32, 7),
    sized(1, sessionId),
    sized(2, Buffer.from('13011302', 'hex')),
    sized(1, Buffer.from([0])),
  ]
  if (extensions !== null) body.push(sized(2, Buffer.concat(extensions)))
  return Buffer.concat([Buffer.from([1]), sized(3, Buffer.concat(body))])
}

/** The message in records of at most `size` bytes. */
function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < message.length; at += size) parts.push(Buffer.from([22, 3, 1]), sized(2, message.subarray(at, at + size)))
  return Buffer.concat(parts)
}

/** Every start is incomplete; the whole says the same with anything behind it. */
function parse(bytes: Buffer): ClientHelloResult {
  const result = parseClientHello(bytes, bytes.length)
  if (typeof result === 'string') return result
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(parseClientHello(bytes.subarray(0, length), length), 'incomplete', `after ${length} bytes`)
    assert.equal(parseClientHello(bytes, length), 'incomplete', `after ${length} bytes of a larger buffer`)
  }
  const longer = Buffer.concat([bytes, Buffer.from([20, 3, 3, 0, 1, 1])])
  assert.deepEqual(parseClientHello(longer, longer.length), result)
  return result
}

describe('the greeting of a TLS client', () => {
  it('gives the server name in lower case and the protocols in order', () => {
    const hello = records(handshake([protocols('h2', 'http/1.1'), serverName('API.Example.com.'), extension(10, Buffer.alloc(6))]))
    assert.deepEqual(parse(hello), { serverName: 'api.example.com', protocols: ['h2', 'http/1.1'] })
  })

  it('may name nothing, or have no extensions at all', () => {
    const nothing: ClientHello = { serverName: '', protocols: [] }
    assert.deepEqual(parse(records(handshake([extension(10, Buffer.alloc(6))]))), nothing)
    assert.deepEqual(parse(records(handshake([]))), nothing)
    assert.deepEqual(parse(records(handshake(null))), nothing)
    assert.deepEqual(parse(records(handshake(null, Buffer.alloc(0)))), nothing)
  })

  it('may be spread over records of any size', () => {
    const message = handshake([serverName('a.example'), extension(21, Buffer.alloc(300))])
    for (const size of [1, 2, 3, 4, 5, 38, 39, 100, 257]) {
      const result = parseClientHello(records(message, size), records(message, size).length)
      assert.deepEqual(result, { serverName: 'a.example', protocols: [] }, `records of ${size}`)
    }
    parse(records(message, 37))
  })

  it('is refused when it is no TLS, at the first byte that says so', () => {
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n'),
      Buffer.from([0x80, 0x2e, 1, 3, 1]),
      Buffer.from([23, 3, 3, 0, 1, 0]),
      Buffer.from([22, 2, 0, 0, 1, 1]),
      Buffer.from([22, 3, 1, 0, 0, 1]),
      Buffer.from([22, 3, 1, 0x40, 1, 1]),
      Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 1]),
    ]) {
      assert.equal(parse(bytes), 'invalid', bytes.toString('hex'))
    }
    assert.equal(parseClientHello(Buffer.from('G'), 1), 'invalid')
    assert.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 1, 2]), 6), 'invalid', 'another handshake message')
  })

  it('is refused when a length inside points beyond it, or something is there twice', () => {
    const wrong = [
      [serverName('a'), serverName('b')],
      [protocols('h2'), protocols('h2')],
      [extension(0, Buffer.from([0, 9, 0, 0, 1, 97]))],
      [extension(0, Buffer.from([0, 4, 0, 0, 9, 97]))],
      [extension(0, Buffer.from([0, 3, 0, 0, 0]))],
      [extension(0, Buffer.alloc(0))],
      [serverName('a', 1)],
      [serverName('a b')],
      [serverName('a/../b')],
      [serverName('x'.repeat(256))],
      [extension(16, Buffer.from([0, 2, 5, 97]))],
      [extension(16, Buffer.from([0, 1, 0]))],
      [Buffer.from([0, 10, 0, 9, 1])],
      [Buffer.from([0, 10])],
    ]
    for (const extensions of wrong)
      assert.equal(parse(records(handshake(extensions))), 'invalid', Buffer.concat(extensions).toString('hex'))
    const cut = handshake([serverName('a.example')])
    cut.writeUIntBE(cut.length - 5, 1, 3)
    assert.equal(parse(records(cut)), 'invalid')
  })

  it('is bounded', () => {
    const large = records(handshake([serverName('a'), extension(21, Buffer.alloc(16_000))]))
    assert.ok(large.length < MAX_CLIENT_HELLO_BYTES)
    assert.notEqual(typeof parseClientHello(large, large.length), 'string')
    const tooLarge = records(handshake([serverName('a'), extension(21, Buffer.alloc(17_000))]))
    assert.equal(parseClientHello(tooLarge, 100), 'invalid', 'noticed from the length it announces')
    const headers = Buffer.concat(Array.from({ length: 4000 }, () => Buffer.from([22, 3, 1, 0, 1, 1])))
    assert.equal(parseClientHello(headers, MAX_CLIENT_HELLO_BYTES), 'invalid')
  })

  it('never throws and never runs on when bytes are changed', () => {
    const hello = records(handshake([serverName('a.example'), protocols('h2')]), 60)
    for (let i = 0; i < hello.length; i++) {
      for (const value of [0, 1, 22, 0x7f, 0xff]) {
        const changed = Buffer.from(hello)
        changed[i] = value
        parseClientHello(changed, changed.length)
      }
    }
  })

  it('of OpenSSL is understood', async () => {
    const received = await new Promise<Buffer>((resolve, reject) => {
      const server = createServer((socket) => {
        socket.once('data', (bytes) => {
          socket.destroy()
          server.close()
          resolve(bytes)
        })
      }).listen(0, '127.0.0.1', () => {
        const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
        tls.connect({ socket, servername: 'Shop.Example.org', ALPNProtocols: ['h2', 'http/1.1'] }).on('error', () => undefined)
      })
      server.on('error', reject)
    })
    assert.deepEqual(parse(received), { serverName: 'shop.example.org', protocols: ['h2', 'http/1.1'] })
  })
})
