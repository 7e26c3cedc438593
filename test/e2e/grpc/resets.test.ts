/** Streams that are reset, by the endpoint or by the client. */
import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { after, describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { DATA, HEADERS, RST_STREAM, frame as raw } from '../http2/kit.ts'
import { startRawHttp2 } from '../http2/upstream-kit.ts'
import {
  BIDI,
  collectMessages,
  createClient,
  echoMessage,
  frame,
  gatewayConfig,
  grpc,
  respondWith,
  startHttp2Server,
  unary,
} from './kit.ts'

const MESSAGE = echoMessage('hello')
const { constants } = http2

/** gRPC over HTTP/2: what an error code of a stream means to a call. */
const MEANINGS: readonly (readonly [number, string])[] = [
  [constants.NGHTTP2_NO_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_PROTOCOL_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_INTERNAL_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_FLOW_CONTROL_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_SETTINGS_TIMEOUT, 'INTERNAL'],
  [constants.NGHTTP2_FRAME_SIZE_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_REFUSED_STREAM, 'UNAVAILABLE'],
  [constants.NGHTTP2_CANCEL, 'CANCELLED'],
  [constants.NGHTTP2_COMPRESSION_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_CONNECT_ERROR, 'INTERNAL'],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, 'RESOURCE_EXHAUSTED'],
  [constants.NGHTTP2_INADEQUATE_SECURITY, 'PERMISSION_DENIED'],
  [constants.NGHTTP2_HTTP_1_1_REQUIRED, 'UNAVAILABLE'],
  [0x1234, 'INTERNAL'],
]

/** `:status: 200`, `content-type: application/grpc`, as literals that are not indexed. */
const HEAD = Buffer.concat([Buffer.from([0x88, 0x0f, 0x10, 16]), Buffer.from('application/grpc')])
/** `grpc-status: 0` the same way. */
const OK_TRAILERS = Buffer.concat([Buffer.from([0, 11]), Buffer.from('grpc-status'), Buffer.from([1]), Buffer.from('0')])

const scope = { after }
const seen = new Map<string, number>()
/** Calls say in their path what is sent before the reset, and its error code: /head/8. The second call of `/once/8` is answered. */
const endpoint = await startRawHttp2(scope, ({ type, id }, { send }, path) => {
  if (type !== HEADERS) return
  const [, kind, code] = path.split('/')
  const times = (seen.get(path) ?? 0) + 1
  seen.set(path, times)
  const reset = Buffer.alloc(4)
  reset.writeUInt32BE(Number(code))
  if (kind === 'message' || kind === 'part' || times > 1) send(raw(HEADERS, 0x4, id, HEAD))
  if (kind === 'message' || times > 1) send(raw(DATA, 0, id, frame(MESSAGE)))
  if (kind === 'part') send(raw(DATA, 0, id, frame(MESSAGE).subarray(0, 7)))
  send(times > 1 ? raw(HEADERS, 0x5, id, OK_TRAILERS) : raw(RST_STREAM, 0, id, reset))
})
const CASES = [
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, 'resource-exhausted', 2],
  [constants.NGHTTP2_FLOW_CONTROL_ERROR, 'unavailable', 1],
  [constants.NGHTTP2_INTERNAL_ERROR, 'internal', 2],
  [constants.NGHTTP2_CANCEL, 'cancelled', 2],
] as const
const service = { endpoints: [endpoint.address], protocol: 'grpc', ejection: null }
const gateway = await startSluice(
  scope,
  gatewayConfig(
    [endpoint.address],
    { retry: null },
    {
      services: {
        echo: { ...service, retry: null },
        ...Object.fromEntries(CASES.map(([, on]) => [on, { ...service, retry: { on: [on] } }])),
      },
      routes: {
        all: { to: 'echo' },
        ...Object.fromEntries(CASES.map(([code, on]) => [on, { match: { path: `/once/${code}` }, to: on }])),
      },
    },
  ),
)

describe('a stream that the endpoint resets', () => {
  it('before its head ends the call with the status of the error code', async (t) => {
    const client = createClient(t, gateway.port())
    const statuses: unknown[] = []
    for (const [code] of MEANINGS) statuses.push([code, grpc.status[(await unary(client, MESSAGE, { path: `/none/${code}` })).code]])
    assert.deepEqual(statuses, MEANINGS)
  })

  it('after whole messages does so in trailers', async (t) => {
    const client = createClient(t, gateway.port())
    const statuses: unknown[] = []
    for (const [code] of MEANINGS) {
      const { messages, code: status } = await collectMessages(
        client.makeServerStreamRequest(
          `/message/${code}`,
          (bytes: Buffer) => bytes,
          (bytes) => bytes,
          MESSAGE,
        ),
      )
      assert.deepEqual(messages, [MESSAGE])
      statuses.push([code, grpc.status[status]])
    }
    assert.deepEqual(
      statuses,
      // What came is nothing that could be repeated over HTTP/1.1.
      MEANINGS.map(([code, name]) => [code, code === constants.NGHTTP2_HTTP_1_1_REQUIRED ? 'INTERNAL' : name]),
    )
  })

  it('inside a message is reset for the client, with a code that means the same, and never one that says nothing was done', async (t) => {
    const kept: number[] = [constants.NGHTTP2_CANCEL, constants.NGHTTP2_ENHANCE_YOUR_CALM, constants.NGHTTP2_INADEQUATE_SECURITY]
    const session = http2.connect(gateway.url)
    t.after(() => session.destroy())
    for (const [code] of MEANINGS) {
      // Without an error, what has come is all there is.
      if (code === constants.NGHTTP2_NO_ERROR) continue
      const stream = session.request({ ':method': 'POST', ':path': `/part/${code}`, 'content-type': 'application/grpc', te: 'trailers' })
      stream.on('error', () => {})
      stream.resume().end(frame(MESSAGE))
      await new Promise((resolve) => stream.once('close', resolve))
      assert.equal(stream.rstCode, kept.includes(code) ? code : constants.NGHTTP2_INTERNAL_ERROR, `after ${code}`)
    }
  })

  it('is tried again by the status it means', async (t) => {
    const client = createClient(t, gateway.port())
    for (const [code, on, calls] of CASES) {
      const path = `/once/${code}`
      const outcome = await unary(client, MESSAGE, { path })
      assert.deepEqual([seen.get(path), outcome.code === grpc.status.OK], [calls, calls === 2], on)
    }
  })
})

describe('a client that cancels', () => {
  it('has the stream of the endpoint reset with CANCEL, before and after the head', async (t) => {
    const resets: number[] = []
    let calls = 0
    const server = await startHttp2Server(t, (stream, headers) => {
      calls++
      stream.on('close', () => resets.push(stream.rstCode))
      if (headers['answer'] === 'yes') {
        respondWith(stream, null)
        stream.write(frame(MESSAGE))
      }
    })
    const client = createClient(t, (await startSluice(t, gatewayConfig([server.address]))).port())
    const silent = BIDI(client)
    silent.on('error', () => {})
    silent.write(MESSAGE)
    await waitFor('the call', () => calls === 1)
    silent.cancel()
    await waitFor('the first reset', () => resets.length === 1)
    const metadata = new grpc.Metadata()
    metadata.set('answer', 'yes')
    const answered = BIDI(client, {}, metadata)
    answered.on('error', () => {})
    answered.on('data', () => answered.cancel())
    await waitFor('the second reset', () => resets.length === 2)
    assert.deepEqual(resets, [constants.NGHTTP2_CANCEL, constants.NGHTTP2_CANCEL])
  })
})
