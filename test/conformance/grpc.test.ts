/**
 * The interop cases of gRPC by their names, with client and server of grpc-js and the gateway between them, without TLS and with it on both
 * sides. The server of grpc-js compresses nothing, so the cases about compression have one over node:http2.
 */
import assert from 'node:assert/strict'
import type http2 from 'node:http2'
import { after, describe, it } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { createFileRegistry, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { makeDescriptors } from '../e2e/grpc/descriptors.ts'
import { frame, grpc, startHttp2Server } from '../e2e/grpc/kit.ts'
import { Authority } from '../e2e/tls/kit.ts'
import { startSluice } from '../support/sluice.ts'

/** The fields of all messages of the cases (interop.proto), as they are in JSON: bytes in base64, nothing for what is 0. */
interface Fields {
  payload?: { body?: string }
  responseSize?: number
  responseStatus?: { code?: number; message?: string }
  responseCompressed?: { value?: boolean }
  expectCompressed?: { value?: boolean }
  aggregatedPayloadSize?: number
  responseParameters?: { size?: number; intervalUs?: number; compressed?: { value?: boolean } }[]
}

const scope = { after }
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, makeDescriptors(['interop.proto'])))

function methodsOf(name: string): Record<string, grpc.MethodDefinition<Fields, Fields>> {
  const service = registry.getService(name)
  assert.ok(service)
  return Object.fromEntries(
    service.methods.map(({ name: method, input, output, methodKind }) => [
      method,
      {
        path: `/${name}/${method}`,
        requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
        responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
        requestSerialize: (value: Fields) => Buffer.from(toBinary(input, fromJson(input, value as object as never))),
        requestDeserialize: (value: Buffer) => toJson(input, fromBinary(input, value)) as Fields,
        responseSerialize: (value: Fields) => Buffer.from(toBinary(output, fromJson(output, value as object as never))),
        responseDeserialize: (value: Buffer) => toJson(output, fromBinary(output, value)) as Fields,
      },
    ]),
  )
}

const METHODS = methodsOf('grpc.testing.TestService')
const { UnimplementedCall, ...SERVED } = METHODS
const OTHER = methodsOf('grpc.testing.UnimplementedService')
type Method = grpc.MethodDefinition<Fields, Fields>

const payload = (size: number) => ({ payload: { body: Buffer.alloc(size).toString('base64') } })
const sizeOf = ({ payload: one }: Fields) => Buffer.from(one?.body ?? '', 'base64').length

/** The write flag of grpc-js, which it has no name for outside. */
const NO_COMPRESSION = 2
const INITIAL = 'x-grpc-test-echo-initial'
const TRAILING = 'x-grpc-test-echo-trailing-bin'

/** Sends the one back in the head; the other is for the trailers. */
function echoMetadata(call: grpc.ServerUnaryCall<Fields, Fields> | grpc.ServerDuplexStream<Fields, Fields>): grpc.Metadata {
  const head = new grpc.Metadata()
  for (const value of call.metadata.get(INITIAL)) head.add(INITIAL, value)
  if (head.get(INITIAL).length > 0) call.sendMetadata(head)
  const trailers = new grpc.Metadata()
  for (const value of call.metadata.get(TRAILING)) trailers.add(TRAILING, value)
  return trailers
}

/** Emits 'cancelled' for each call that the server sees cancelled. */
let onCancelled = () => {}

async function startServer(credentials: grpc.ServerCredentials): Promise<string> {
  const server = new grpc.Server()
  const handlers: grpc.UntypedServiceImplementation = {
    EmptyCall: (_: grpc.ServerUnaryCall<Fields, Fields>, callback: grpc.sendUnaryData<Fields>) => callback(null, {}),
    UnaryCall: (call: grpc.ServerUnaryCall<Fields, Fields>, callback: grpc.sendUnaryData<Fields>) => {
      const trailers = echoMetadata(call)
      const { responseStatus, responseSize = 0 } = call.request
      if (responseStatus?.code) callback({ code: responseStatus.code, details: responseStatus.message ?? '' })
      else callback(null, payload(responseSize), trailers)
    },
    StreamingInputCall: (call: grpc.ServerReadableStream<Fields, Fields>, callback: grpc.sendUnaryData<Fields>) => {
      let aggregatedPayloadSize = 0
      call.on('cancelled', () => onCancelled())
      call.on('data', (one: Fields) => (aggregatedPayloadSize += sizeOf(one)))
      call.on('end', () => callback(null, { aggregatedPayloadSize }))
    },
    StreamingOutputCall: (call: grpc.ServerWritableStream<Fields, Fields>) => {
      for (const { size = 0 } of call.request.responseParameters ?? []) call.write(payload(size))
      call.end()
    },
    FullDuplexCall: (call: grpc.ServerDuplexStream<Fields, Fields>) => {
      const trailers = echoMetadata(call)
      call.on('cancelled', () => onCancelled())
      call.on('data', ({ responseParameters = [], responseStatus }: Fields) => {
        for (const { size = 0 } of responseParameters) call.write(payload(size))
        if (responseStatus?.code) call.emit('error', { code: responseStatus.code, details: responseStatus.message ?? '' })
      })
      call.on('end', () => call.end(trailers))
    },
  }
  server.addService(SERVED as grpc.ServiceDefinition, handlers)
  scope.after(() => server.forceShutdown())
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
  })
  return `127.0.0.1:${port}`
}

/** Takes and gives compressed messages as it is asked to. */
function answerCompressed(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  const method = SERVED[(headers[':path'] as string).split('/')[2] as string] as Method
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  stream.on('end', () => {
    const answers: Buffer[] = []
    let status = '0'
    let aggregatedPayloadSize = 0
    for (const { isCompressed, bytes } of messagesOf(Buffer.concat(pieces))) {
      const request = method.requestDeserialize(isCompressed ? gunzipSync(bytes) : bytes)
      if ((request.expectCompressed?.value ?? isCompressed) !== isCompressed) status = '3'
      if (isCompressed) assert.equal(headers['grpc-encoding'], 'gzip')
      aggregatedPayloadSize += sizeOf(request)
      if (method.requestStream) continue
      const {
        responseCompressed,
        responseSize = 0,
        responseParameters = [{ size: responseSize, compressed: responseCompressed ?? {} }],
      } = request
      for (const { size = 0, compressed } of responseParameters) {
        answers.push(messageOf(method.responseSerialize(payload(size)), compressed?.value === true))
      }
    }
    if (method.requestStream) answers.push(messageOf(method.responseSerialize({ aggregatedPayloadSize }), false))
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }))
    stream.end(status === '0' ? Buffer.concat(answers) : Buffer.alloc(0))
  })
}

function messageOf(bytes: Buffer, isCompressed: boolean): Buffer {
  const framed = frame(isCompressed ? gzipSync(bytes) : bytes)
  framed[0] = isCompressed ? 1 : 0
  return framed
}

function messagesOf(body: Buffer): { isCompressed: boolean; bytes: Buffer }[] {
  const all: { isCompressed: boolean; bytes: Buffer }[] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    all.push({ isCompressed: body[at] === 1, bytes: body.subarray(at + 5, end) })
    at = end
  }
  return all
}

const authority = new Authority(scope)
const { cert, key, certPath, keyPath } = authority.issue('app.test')
const plain = await startServer(grpc.ServerCredentials.createInsecure())
const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }
const secure = await startServer(grpc.ServerCredentials.createSsl(null, [pair]))
const compressing = await startHttp2Server(scope, answerCompressed)
const common = { protocol: 'grpc', ejection: null }
const gateway = await startSluice(scope, {
  workers: 1,
  accessLog: null,
  listeners: {
    plain: { address: '127.0.0.1:0' },
    secure: { address: '127.0.0.1:0', tls: { certificates: [{ cert: certPath, key: keyPath }] } },
  },
  services: {
    plain: { endpoints: [plain], ...common },
    secure: { endpoints: [secure], tls: { ca: authority.path, serverName: 'app.test' }, ...common },
    compressing: { endpoints: [compressing.address], ...common },
  },
  routes: {
    plain: { to: 'plain' },
    secure: { match: { headers: { 'x-service': 'secure' } }, to: 'secure' },
    compressing: { match: { headers: { 'x-service': 'compressing' } }, to: 'compressing' },
  },
})

type Outcome = { code: number; details: string; messages: Fields[]; head: grpc.Metadata | null; trailers: grpc.Metadata }

for (const transport of ['plain', 'secure'] as const) {
  const credentials = transport === 'plain' ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(Buffer.from(authority.cert))
  const options = { 'grpc.ssl_target_name_override': 'app.test', 'grpc.default_authority': 'app.test', 'grpc.enable_retries': 0 }
  const address = `127.0.0.1:${gateway.port(transport)}`
  const client = new grpc.Client(address, credentials, options)
  const zipping = new grpc.Client(address, credentials, {
    ...options,
    'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
  })
  after(() => {
    client.close()
    zipping.close()
  })
  const to = (service: string, fields: Record<string, string | Buffer> = {}): grpc.Metadata => {
    const metadata = new grpc.Metadata()
    metadata.set('x-service', service)
    for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
    return metadata
  }

  /** A call whose requests are written by `write`, to its end. Every kind is one with two streams. */
  function call(
    method: Method,
    write: (call: grpc.ClientDuplexStream<Fields, Fields>, messages: Fields[]) => void,
    { by = client, metadata = to(transport), ...rest }: grpc.CallOptions & { by?: grpc.Client; metadata?: grpc.Metadata } = {},
  ): Promise<Outcome> {
    return new Promise((resolve) => {
      const { path, requestSerialize, responseDeserialize } = method
      const one = by.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, rest)
      const messages: Fields[] = []
      let head: grpc.Metadata | null = null
      one.on('metadata', (got: grpc.Metadata) => (head = got))
      one.on('data', (message: Fields) => messages.push(message))
      one.on('error', () => {})
      one.on('status', ({ code, details, metadata: trailers }: grpc.StatusObject) => {
        setImmediate(() => resolve({ code, details, messages, head, trailers }))
      })
      write(one, messages)
    })
  }
  const unary = (method: Method, request: Fields, more: Parameters<typeof call>[2] = {}) =>
    call(
      method,
      (one) => {
        one.write(request)
        one.end()
      },
      more,
    )
  const { EmptyCall, UnaryCall, StreamingInputCall, StreamingOutputCall, FullDuplexCall } = METHODS as Record<string, Method> as {
    [name in 'EmptyCall' | 'UnaryCall' | 'StreamingInputCall' | 'StreamingOutputCall' | 'FullDuplexCall']: Method
  }
  const succeeds = ({ code, details, messages }: Outcome, sizes: number[]) => {
    assert.equal(code, grpc.status.OK, details)
    assert.deepEqual(messages.map(sizeOf), sizes)
  }
  const REQUESTS = [27_182, 8, 1828, 45_904]
  const RESPONSES = [31_415, 9, 2653, 58_979]

  describe(`gRPC interop, ${transport}`, () => {
    it('empty_unary', async () => {
      const outcome = await unary(EmptyCall, {})
      succeeds(outcome, [0])
      assert.deepEqual(outcome.messages, [{}])
    })

    it('large_unary', async () => succeeds(await unary(UnaryCall, { responseSize: 314_159, ...payload(271_828) }), [314_159]))

    it('client_streaming', async () => {
      const { code, messages } = await call(StreamingInputCall, (one) => {
        for (const size of REQUESTS) one.write(payload(size))
        one.end()
      })
      assert.deepEqual([code, messages], [0, [{ aggregatedPayloadSize: 74_922 }]])
    })

    it('server_streaming', async () => {
      succeeds(await unary(StreamingOutputCall, { responseParameters: RESPONSES.map((size) => ({ size })) }), RESPONSES)
    })

    it('ping_pong', async () => {
      const outcome = await call(FullDuplexCall, (one) => {
        let next = 0
        const ping = () => {
          if (next === RESPONSES.length) return void one.end()
          one.write({ responseParameters: [{ size: RESPONSES[next] as number }], ...payload(REQUESTS[next] as number) })
          next++
        }
        one.on('data', ping)
        ping()
      })
      succeeds(outcome, RESPONSES)
    })

    it('empty_stream', async () => succeeds(await call(FullDuplexCall, (one) => void one.end()), []))

    it('custom_metadata', async () => {
      const metadata = to(transport, { [INITIAL]: 'test_initial_metadata_value', [TRAILING]: Buffer.from('ababab', 'hex') })
      const calls = [
        await unary(UnaryCall, { responseSize: 314_159, ...payload(271_828) }, { metadata }),
        await unary(FullDuplexCall, { responseParameters: [{ size: 314_159 }], ...payload(271_828) }, { metadata }),
      ]
      for (const outcome of calls) {
        succeeds(outcome, [314_159])
        assert.deepEqual(outcome.head?.get(INITIAL), ['test_initial_metadata_value'])
        assert.deepEqual(outcome.trailers.get(TRAILING), [Buffer.from('ababab', 'hex')])
      }
    })

    it('status_code_and_message', async () => {
      const responseStatus = { code: 2, message: 'test status message' }
      for (const method of [UnaryCall, FullDuplexCall]) {
        const { code, details } = await unary(method, { responseStatus })
        assert.deepEqual([code, details], [2, 'test status message'])
      }
    })

    it('special_status_message', async () => {
      const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'
      const { code, details } = await unary(UnaryCall, { responseStatus: { code: 2, message } })
      assert.deepEqual([code, details], [2, message])
    })

    it('unimplemented_method', async () => {
      assert.equal((await unary(UnimplementedCall as Method, {})).code, grpc.status.UNIMPLEMENTED)
    })

    it('unimplemented_service', async () => {
      assert.equal((await unary(OTHER['UnimplementedCall'] as Method, {})).code, grpc.status.UNIMPLEMENTED)
    })

    it('cancel_after_begin', async () => {
      assert.equal((await call(StreamingInputCall, (one) => one.cancel())).code, grpc.status.CANCELLED)
    })

    it('cancel_after_first_response', async () => {
      const seen = new Promise<void>((resolve) => (onCancelled = resolve))
      const { code, messages } = await call(FullDuplexCall, (one) => {
        one.on('data', () => one.cancel())
        one.write({ responseParameters: [{ size: 31_415 }], ...payload(27_182) })
      })
      assert.deepEqual([code, messages.map(sizeOf)], [grpc.status.CANCELLED, [31_415]])
      await seen
    })

    it('timeout_on_sleeping_server', async () => {
      for (const ms of [1, 50]) {
        const outcome = await call(FullDuplexCall, (one) => void one.write(payload(27_182)), { deadline: Date.now() + ms })
        assert.equal(outcome.code, grpc.status.DEADLINE_EXCEEDED)
      }
    })

    const compressed = to('compressing')
    const expectation = { responseSize: 314_159, ...payload(271_828) }

    it('client_compressed_unary', async () => {
      const probe = await unary(UnaryCall, { expectCompressed: { value: true }, ...expectation }, { metadata: compressed })
      assert.equal(probe.code, grpc.status.INVALID_ARGUMENT)
      succeeds(
        await unary(UnaryCall, { expectCompressed: { value: true }, ...expectation }, { metadata: compressed, by: zipping }),
        [314_159],
      )
      succeeds(await unary(UnaryCall, { expectCompressed: { value: false }, ...expectation }, { metadata: compressed }), [314_159])
      // And the server of grpc-js undoes it.
      succeeds(await unary(UnaryCall, expectation, { by: zipping }), [314_159])
    })

    it('server_compressed_unary', async () => {
      for (const value of [true, false]) {
        succeeds(await unary(UnaryCall, { responseCompressed: { value }, ...expectation }, { metadata: compressed }), [314_159])
      }
    })

    it('client_compressed_streaming', async () => {
      const probe = await unary(StreamingInputCall, { expectCompressed: { value: true }, ...payload(27_182) }, { metadata: compressed })
      assert.equal(probe.code, grpc.status.INVALID_ARGUMENT)
      const { code, messages } = await call(
        StreamingInputCall,
        (one) => {
          one.write({ expectCompressed: { value: true }, ...payload(27_182) })
          one.write({ expectCompressed: { value: false }, ...payload(45_904) }, NO_COMPRESSION)
          one.end()
        },
        { metadata: compressed, by: zipping },
      )
      assert.deepEqual([code, messages], [0, [{ aggregatedPayloadSize: 73_086 }]])
    })

    it('server_compressed_streaming', async () => {
      const responseParameters = [
        { size: 31_415, compressed: { value: true } },
        { size: 92_653, compressed: { value: false } },
      ]
      succeeds(await unary(StreamingOutputCall, { responseParameters }, { metadata: compressed }), [31_415, 92_653])
    })
  })
}
