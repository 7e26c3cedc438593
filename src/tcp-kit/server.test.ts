import assert from 'node:assert/strict'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { requirePrograms } from '../../test/support/programs.ts'
import { rawRequest } from '../../test/support/raw.ts'
import { runProgram } from '../../test/support/run.ts'
import { waitFor } from '../../test/support/wait.ts'
import { abortHandler, type TcpError } from './errors.ts'
import { delimited, lengthPrefixed } from './framing.ts'
import { createTcpServer, type TcpHandler, type TcpServer, type TcpServerOptions } from './server.ts'

const { nc } = requirePrograms(['nc'])

interface Started {
  server: TcpServer
  port: number
  errors: unknown[]
}

async function start(t: TestContext, handler: TcpHandler, options: Partial<TcpServerOptions> = {}): Promise<Started> {
  const errors: unknown[] = []
  const server = createTcpServer({ handler, onError: (error) => errors.push(error), ...options })
  t.after(() => server.close({ graceMs: 0 }))
  const { port } = await server.listen('127.0.0.1:0')
  return { server, port, errors }
}

/** An echo of lines, for connections that stay open. */
const echoLines: TcpHandler = async (connection) => {
  const lines = delimited()
  for await (const line of connection.messages(lines)) await connection.send(lines, line)
}

test('nc gets the line and the end of the connection', async (t) => {
  const { port } = await start(t, (connection) => connection.write('tcpHandler\n'))
  const result = await runProgram(nc, ['127.0.0.1', String(port)], { timeoutMs: 5000 })
  assert.equal(result.stdout, 'tcpHandler\n')
  assert.equal(result.code, 0)
})

test('a reply arrives whole although the client has sent more than the handler read', async (t) => {
  const { port } = await start(t, async (connection) => {
    await connection.read()
    await connection.write('x'.repeat(3_000_000))
  })
  const { text, ended } = await rawRequest(port, 'y'.repeat(500_000), { timeoutMs: 5000 })
  assert.equal(text.length, 3_000_000)
  assert.equal(ended, 'closed')
})

test('a handler that throws or rejects closes its connection; the others and the server go on', async (t) => {
  const { port, errors, server } = await start(t, (connection) => {
    if (errors.length === 0) throw new Error('thrown')
    if (errors.length === 1) return Promise.reject(new Error('rejected'))
    return connection.write('fine')
  })
  assert.equal((await rawRequest(port, '')).text, '')
  assert.equal((await rawRequest(port, '')).text, '')
  assert.equal((await rawRequest(port, '')).text, 'fine')
  assert.deepEqual(
    errors.map((error) => (error as Error).message),
    ['thrown', 'rejected'],
  )
  await waitFor('the connections to end', () => server.connections === 0)
})

test('an abort closes the connection and reports nothing', async (t) => {
  const { port, errors } = await start(t, () => {
    throw abortHandler
  })
  assert.equal((await rawRequest(port, '')).text, '')
  assert.equal(abortHandler.message, 'tcp: abort TCPHandler')
  assert.deepEqual(errors, [])
})

test('a reporter that throws changes nothing', async (t) => {
  const { port } = await start(
    t,
    () => {
      throw new Error('first')
    },
    {
      onError: () => {
        throw new Error('second')
      },
    },
  )
  assert.equal((await rawRequest(port, '')).text, '')
  assert.equal((await rawRequest(port, '')).text, '')
})

test('a failed write that nobody awaits does not end the process', async (t) => {
  const { port, errors } = await start(t, async (connection) => {
    void connection.write('x'.repeat(50_000_000))
    await waitFor('the client to leave', () => connection.signal.aborted)
    void connection.write('more')
    await sleep(20)
  })
  const socket = net.connect(port, '127.0.0.1')
  await sleep(50)
  socket.resetAndDestroy()
  await sleep(150)
  assert.deepEqual(errors, [])
  const { ended } = await rawRequest(port, '', { timeoutMs: 10_000, until: (text) => text.length > 0 })
  assert.equal(ended, 'until')
})

test('without an address, and after closing, listening says so', async () => {
  const server = createTcpServer({ handler: () => {} })
  await assert.rejects(server.listen(), { code: 'need-address', message: 'need addr' })
  assert.throws(() => server.address, { code: 'need-address' })
  await assert.rejects(server.listen('nonsense'), RangeError)
  await server.close()
  await server.close()
  await assert.rejects(server.listen('127.0.0.1:0'), { code: 'server-closed', message: 'tcp: Server closed' })
})

test('an address in use is an error of listen', async (t) => {
  const { port } = await start(t, () => {})
  const second = createTcpServer({ handler: () => {}, address: `127.0.0.1:${port}` })
  await assert.rejects(second.listen(), { code: 'EADDRINUSE' })
  await second.close()
})

test('closing lets the messages in work end, and ends idle loops at once', async (t) => {
  const lines = delimited()
  let messages = 0
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { server, port, errors } = await start(t, async (connection) => {
    for await (const line of connection.messages(lines)) {
      messages++
      if (line.toString() === 'slow') await held
      await connection.send(lines, line)
    }
  })
  const idle = rawRequest(port, 'a\n', { timeoutMs: 5000 })
  const busy = rawRequest(port, 'slow\n', { timeoutMs: 5000 })
  await waitFor('both', () => messages === 2)
  let closed = false
  const closing = server.close().then(() => {
    closed = true
  })
  assert.deepEqual(await idle, { text: 'a\n', ended: 'closed' })
  assert.equal(closed, false)
  await assert.rejects(rawRequest(port, ''), { code: 'ECONNREFUSED' })
  release()
  assert.deepEqual(await busy, { text: 'slow\n', ended: 'closed' })
  await closing
  assert.deepEqual(errors, [])
})

test('closing waits for a handler whose client has left', async (t) => {
  let done = false
  const { server, port } = await start(t, async () => {
    await sleep(150)
    done = true
  })
  const socket = net.connect(port, '127.0.0.1')
  await waitFor('the connection', () => server.connections === 1)
  socket.resetAndDestroy()
  await sleep(20)
  await server.close()
  assert.equal(done, true)
})

test('what still runs after the grace time is cut off', async (t) => {
  const { server, port, errors } = await start(t, async (connection) => void (await connection.read()))
  const request = rawRequest(port, '', { timeoutMs: 5000 })
  await waitFor('the connection', () => server.connections === 1)
  await server.close({ graceMs: 50 })
  assert.notEqual((await request).ended, 'timeout')
  assert.equal((errors[0] as TcpError).code, 'connection-closed')
})

test('a message that stops half way ends the connection by the read limit, an idle connection by the idle limit without a report', async (t) => {
  const { port, errors } = await start(t, echoLines, { readTimeoutMs: 60, idleTimeoutMs: 200 })
  await rawRequest(port, ['a\nb'])
  assert.deepEqual(
    errors.map((error) => (error as TcpError).code),
    ['read-timeout'],
  )
  const startedAt = performance.now()
  await rawRequest(port, 'a\n')
  assert.ok(performance.now() - startedAt >= 190)
  assert.equal(errors.length, 1)
})

test('a trickle of bytes does not extend the read limit of a message', async (t) => {
  const { port, errors } = await start(t, echoLines, { readTimeoutMs: 100 })
  const startedAt = performance.now()
  // Ten seconds of it.
  const pieces = Array.from({ length: 500 }, () => 'x')
  const { ended } = await rawRequest(port, pieces, { pauseMs: 20, timeoutMs: 30_000 })
  assert.ok(performance.now() - startedAt < 5000)
  assert.notEqual(ended, 'timeout')
  assert.equal((errors[0] as TcpError).code, 'read-timeout')
})

test('a client that sends everything before it reads gets its reply', async (t) => {
  const { port } = await start(t, async (connection) => {
    await connection.read()
    // Until as much is read ahead as may be.
    await sleep(100)
    await connection.write('enough')
  })
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => void socket.destroy())
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.end(Buffer.alloc(20_000_000), resolve)
  })
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  assert.equal(Buffer.concat(chunks).toString(), 'enough')
})

test('a client that reads nothing ends by the write limit; a slow one that reads does not', { timeout: 120_000 }, async (t) => {
  const { port, errors } = await start(
    t,
    async (connection) => {
      await connection.write(Buffer.alloc(12_000_000))
    },
    { writeTimeoutMs: 1000 },
  )
  const stuck = net.connect(port, '127.0.0.1').pause()
  stuck.on('error', () => {})
  t.after(() => void stuck.destroy())
  await waitFor('the write limit', () => errors.length === 1)
  assert.equal((errors[0] as TcpError).code, 'write-timeout')

  const slow = net.connect(port, '127.0.0.1')
  t.after(() => void slow.destroy())
  let bytes = 0
  slow.on('data', (chunk) => {
    bytes += chunk.length
    slow.pause()
    setTimeout(() => slow.resume(), 20)
  })
  await new Promise((resolve) => slow.once('end', resolve))
  assert.equal(bytes, 12_000_000)
  assert.equal(errors.length, 1)
})

test('a client beyond the limit is closed, and served when there is room again', async (t) => {
  const { server, port } = await start(t, echoLines, { maxConnections: 1 })
  const first = net.connect(port, '127.0.0.1')
  await waitFor('the first', () => server.connections === 1)
  assert.equal((await rawRequest(port, '')).text, '')
  assert.equal(server.refusedConnections, 1)
  first.destroy()
  await waitFor('room', () => server.connections === 0)
  assert.equal((await rawRequest(port, 'a\n', { end: true })).text, 'a\n')
})

test('a frame with another magic ends the connection and is reported', async (t) => {
  const framing = lengthPrefixed({ magic: '12345678' })
  const seen: string[] = []
  const { port, errors } = await start(t, async (connection) => {
    for await (const body of connection.messages(framing)) seen.push(body.toString())
  })
  await rawRequest(port, [Buffer.concat([framing.encode('one'), framing.encode('two')]), 'X'])
  assert.deepEqual(seen, ['one', 'two'])
  assert.equal((errors[0] as { code: string }).code, 'bad-magic')
  await rawRequest(port, framing.encode('three').subarray(0, 13), { end: true })
  assert.equal((errors[1] as { code: string }).code, 'truncated')
})

test('a slow handler reads ahead a little, not everything', async (t) => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let bytes = 0
  const { port } = await start(t, async (connection) => {
    await held
    for (let chunk = await connection.read(); chunk !== null; chunk = await connection.read()) bytes += chunk.length
    await connection.write(String(bytes))
  })
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => void socket.destroy())
  socket.end(Buffer.alloc(30_000_000))
  await sleep(200)
  assert.ok(socket.writableLength > 10_000_000, 'the client is held back')
  release()
  const [answer] = await new Promise<Buffer[]>((resolve) => socket.once('data', (data) => resolve([data])))
  assert.equal(answer?.toString(), '30000000')
})

test('one read at a time', async (t) => {
  const { port, errors } = await start(t, async (connection) => {
    const first = connection.read()
    await assert.rejects(connection.read(), /another read/)
    await first
    throw abortHandler
  })
  await rawRequest(port, 'x')
  assert.deepEqual(errors, [])
})

test('a thousand connections that come and go in any way leave none behind', async (t) => {
  const { server, port } = await start(t, echoLines)
  for (let round = 0; round < 20; round++) {
    const ends = Array.from(
      { length: 50 },
      (_, i) =>
        new Promise<void>((resolve) => {
          const socket = net.connect(port, '127.0.0.1', () => {
            if (i % 3 === 0) socket.resetAndDestroy()
            else if (i % 3 === 1) socket.end('half a li')
            else socket.end('line\n')
          })
          socket.on('error', () => {})
          socket.on('data', () => {})
          socket.on('close', () => resolve())
        }),
    )
    await Promise.all(ends)
  }
  await waitFor('the connections to end', () => server.connections === 0)
  assert.equal(server.timers.size, 0)
})
