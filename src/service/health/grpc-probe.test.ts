import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2, { type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { encodeHealthRequest, readHealthStatus } from './grpc-health.ts'
import type { ProbeOutcome, RunningProbe } from './probe.ts'
import { startProbe } from './start-probe.ts'
import { createTarget } from './virtual-network.contract.ts'

interface Seen {
  path: string
  body: Buffer
}

/** A server that answers every check with this. */
async function serve(t: TestContext, answer: (stream: ServerHttp2Stream, seen: Seen) => void): Promise<{ port: number; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = http2.createServer()
  server.on('stream', (stream, headers) => {
    const pieces: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => {
      const one = {
        path: `${headers[':path']} ${headers[':authority']} ${headers['content-type']} ${headers.te}`,
        body: Buffer.concat(pieces),
      }
      seen.push(one)
      answer(stream, one)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, seen }
}

function status(code: number, trailers: OutgoingHttpHeaders = { 'grpc-status': '0' }): (stream: ServerHttp2Stream) => void {
  return (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers(trailers))
    stream.end(Buffer.from(code === 0 ? '0000000000' : `0000000002080${code}`, 'hex'))
  }
}

function check(port: number, service = ''): { outcome: Promise<ProbeOutcome>; running: RunningProbe } {
  let running: RunningProbe | undefined
  const outcome = new Promise<ProbeOutcome>((resolve) => {
    running = startProbe(createTarget(`127.0.0.1:${port}`, { check: { kind: 'grpc', service, host: null } }), resolve)
  })
  assert(running !== undefined)
  return { outcome, running }
}

async function errorOf(t: TestContext, answer: (stream: ServerHttp2Stream) => void): Promise<string> {
  const outcome = await check((await serve(t, answer)).port).outcome
  assert.equal(outcome.result, 'fail')
  return 'error' in outcome ? outcome.error : ''
}

describe('a check by grpc.health.v1', () => {
  it('asks for a service and passes when it is SERVING', async (t) => {
    const { port, seen } = await serve(t, status(1))
    assert.deepEqual(await check(port, 'echo.Echo').outcome, { result: 'pass' })
    assert.deepEqual(await check(port).outcome, { result: 'pass' })
    assert.equal(seen[0]?.path, `/grpc.health.v1.Health/Check 127.0.0.1:${port} application/grpc trailers`)
    assert.deepEqual(
      seen.map(({ body }) => body.toString('hex')),
      [`000000000b0a09${Buffer.from('echo.Echo').toString('hex')}`, '0000000000'],
    )
  })

  it('fails when it is anything else', async (t) => {
    assert.equal(await errorOf(t, status(2)), 'NOT_SERVING; expected SERVING')
    assert.equal(await errorOf(t, status(0)), 'UNKNOWN; expected SERVING')
    assert.equal(await errorOf(t, status(0, { 'grpc-status': '5', 'grpc-message': 'no%20such' })), 'grpc-status NOT_FOUND: no such')
    assert.equal(await errorOf(t, status(1, { 'grpc-status': '12' })), 'grpc-status UNIMPLEMENTED')
    const html = (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 503, 'content-type': 'text/html' })
      stream.end('no')
    }
    assert.equal(await errorOf(t, html), 'status 503 and not gRPC')
    const silent = (stream: ServerHttp2Stream) =>
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { endStream: true })
    assert.equal(await errorOf(t, silent), 'the call ended without a status')
    const junk = (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.alloc(3))
    }
    assert.equal(await errorOf(t, junk), 'the answer is not a HealthCheckResponse')
  })

  it('fails on what does not answer, does not speak HTTP/2, or is not there', async (t) => {
    assert.match(await errorOf(t, (stream) => stream.session?.destroy()), /./)
    const plain = net.createServer((socket) => {
      socket.on('error', () => {})
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    plain.listen(0, '127.0.0.1')
    await once(plain, 'listening')
    t.after(() => plain.close())
    assert.equal((await check((plain.address() as AddressInfo).port).outcome).result, 'fail')
    assert.equal((await check(1).outcome).result, 'fail')
  })

  it('can be given up', async (t) => {
    const asked = Promise.withResolvers<ServerHttp2Stream>()
    const { port } = await serve(t, (stream) => asked.resolve(stream))
    const { running, outcome } = check(port)
    const stream = await asked.promise
    assert.equal(running.stage, 'waiting for the response')
    void outcome.then(() => assert.fail('it was given up'))
    const closed = once(stream, 'close')
    running.cancel()
    await closed
  })
})

describe('the messages of grpc.health.v1', () => {
  it('hold names of any length', () => {
    assert.equal(encodeHealthRequest('a'.repeat(200)).subarray(0, 8).toString('hex'), '00000000cb0ac801')
  })

  it('are read strictly', () => {
    const read = (hex: string) => readHealthStatus(Buffer.from(hex, 'hex'))
    assert.deepEqual(['0000000000', '00000000020801', '00000000020803'].map(read), [0, 1, 3])
    for (const hex of [
      '',
      '00',
      '01000000020801',
      '00000000030801',
      '000000000208',
      '00000000021001',
      '00000000020881',
      '0000000003080100',
    ]) {
      assert.equal(read(hex), -1, hex)
    }
  })
})
