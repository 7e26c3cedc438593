import { h2load } from '../generators/h2load.ts'
import { BODY_BYTES, GRPC_MESSAGE, GRPC_METHOD } from '../harness/upstream.ts'
import type { LoadScenario } from '../types.ts'

const headers = ['content-type: application/grpc', 'te: trailers']
const call = { file: GRPC_METHOD, body: GRPC_MESSAGE, headers }
const setup = { downstream: 'grpc', upstream: 'grpc', routes: 10 } as const

/** The shape of a unary call: one small message each way, and the status in trailers. */
export const grpcUnary: LoadScenario = {
  kind: 'load',
  name: 'grpc-unary',
  title: 'gRPC unary (HTTP/2 cleartext on both sides), 15-byte messages, 16 connections with 10 streams each, 10 routes',
  setup,
  upstream: 'grpc',
  generator: h2load({ ...call, connections: 16, streamsPerConnection: 10, responseBytes: BODY_BYTES.grpc }),
  unit: 'calls',
  compare: { with: ['nginx', 'haproxy'] },
  goals: [{ against: 'nginx', mustReach: 1, aim: 2 }],
}

/** The shape of a call whose answer is a stream: ten thousand small messages, then the status. */
export const grpcStream: LoadScenario = {
  kind: 'load',
  name: 'grpc-stream',
  title: 'gRPC server streaming, 10,000 messages of 15 bytes per call, 16 connections with 2 streams each, 10 routes',
  setup,
  upstream: 'grpc-stream',
  generator: h2load({ ...call, connections: 16, streamsPerConnection: 2, responseBytes: BODY_BYTES['grpc-stream'] }),
  unit: 'calls',
  compare: { with: ['nginx', 'haproxy'] },
  goals: [],
}
