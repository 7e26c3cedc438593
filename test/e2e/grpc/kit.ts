/** What the tests of gRPC share: a server and a client of grpc-js that know no descriptors, with messages as bytes. */
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import * as grpc from '@grpc/grpc-js'
import type { CleanupScope } from '../../support/cleanup.ts'

export { grpc }

const AS_IS = (bytes: Buffer): Buffer => bytes

/** The four kinds of the echo service, and a service of another package. */
function method(path: string, requestStream: boolean, responseStream: boolean): grpc.MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: AS_IS,
    requestDeserialize: AS_IS,
    responseSerialize: AS_IS,
    responseDeserialize: AS_IS,
  }
}

export const ECHO = {
  UnaryEcho: method('/echo.Echo/UnaryEcho', false, false),
  ServerStreamingEcho: method('/echo.Echo/ServerStreamingEcho', false, true),
  ClientStreamingEcho: method('/echo.Echo/ClientStreamingEcho', true, false),
  BidirectionalStreamingEcho: method('/echo.Echo/BidirectionalStreamingEcho', true, true),
}

/** `EchoRequest { string message = 1 }`, of up to 127 bytes. */
export function echoMessage(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(text)]), Buffer.from(text)])
}

export function echoText(message: Buffer): string {
  return message.subarray(2).toString()
}

export type Handlers = {
  UnaryEcho?: grpc.handleUnaryCall<Buffer, Buffer>
  ServerStreamingEcho?: grpc.handleServerStreamingCall<Buffer, Buffer>
  ClientStreamingEcho?: grpc.handleClientStreamingCall<Buffer, Buffer>
  BidirectionalStreamingEcho?: grpc.handleBidiStreamingCall<Buffer, Buffer>
}

export interface EchoServer {
  address: string
  server: grpc.Server
  /** Calls begun. */
  calls(): number
  stop(): void
}

const REPLIES = 10

/** The echo service: `timestamp` and what ends in `-bin` of the metadata goes back in head and trailers. */
export async function startEcho(
  scope: CleanupScope,
  handlers: Handlers = {},
  credentials = grpc.ServerCredentials.createInsecure(),
): Promise<EchoServer> {
  let calls = 0
  const begin = (call: grpc.ServerUnaryCall<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer> | AnyServerCall): grpc.Metadata => {
    const trailers = new grpc.Metadata()
    const head = new grpc.Metadata()
    for (const name of ['timestamp', 'blob-bin']) {
      for (const value of call.metadata.get(name)) {
        head.add(name, value)
        trailers.add(name, value)
      }
    }
    call.sendMetadata(head)
    return trailers
  }
  const server = new grpc.Server()
  const implementation = {
    UnaryEcho: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      callback(null, call.request, begin(call))
    },
    ServerStreamingEcho: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      const trailers = begin(call)
      const count = Number(call.metadata.get('count')[0] ?? REPLIES)
      let sent = 0
      const send = () => {
        while (sent++ < count) if (!call.write(call.request)) return void call.once('drain', send)
        call.end(trailers)
      }
      send()
    },
    ClientStreamingEcho: (call: grpc.ServerReadableStream<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      const trailers = begin(call)
      let last: Buffer = Buffer.alloc(0)
      call.on('data', (message: Buffer) => (last = message))
      call.on('end', () => callback(null, last, trailers))
    },
    BidirectionalStreamingEcho: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      const trailers = begin(call)
      call.on('data', (message: Buffer) => {
        if (!call.write(message)) {
          call.pause()
          call.once('drain', () => call.resume())
        }
      })
      call.on('end', () => call.end(trailers))
    },
    ...handlers,
  }
  const counted: Record<string, unknown> = {}
  for (const [name, handler] of Object.entries(implementation)) {
    counted[name] = (...args: unknown[]) => {
      calls++
      ;(handler as (...all: unknown[]) => void)(...args)
    }
  }
  server.addService(ECHO, counted as grpc.UntypedServiceImplementation)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
  })
  const stop = () => server.forceShutdown()
  scope.after(stop)
  return { address: `127.0.0.1:${port}`, server, calls: () => calls, stop }
}

type AnyServerCall = grpc.ServerReadableStream<Buffer, Buffer> | grpc.ServerWritableStream<Buffer, Buffer>

/** A client of grpc-js, without retries of its own. */
export function createClient(scope: CleanupScope, port: number): grpc.Client {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { 'grpc.enable_retries': 0 })
  scope.after(() => client.close())
  return client
}

export interface Outcome {
  code: number
  details: string
  message: Buffer | null
  head: grpc.Metadata | null
  trailers: grpc.Metadata | null
}

export interface CallOptions extends grpc.CallOptions {
  metadata?: grpc.Metadata
  path?: string
}

/** One unary call to its end, whatever that is. */
export function unary(client: grpc.Client, message: Buffer, { metadata, path, ...options }: CallOptions = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const outcome: Outcome = { code: -1, details: '', message: null, head: null, trailers: null }
    const call = client.makeUnaryRequest(
      path ?? ECHO.UnaryEcho.path,
      AS_IS,
      AS_IS,
      message,
      metadata ?? new grpc.Metadata(),
      options,
      (error, value) => {
        outcome.message = error === null ? (value as Buffer) : null
      },
    )
    call.on('metadata', (head) => (outcome.head = head))
    call.on('status', ({ code, details, metadata: trailers }) => {
      Object.assign(outcome, { code, details, trailers })
      setImmediate(() => resolve(outcome))
    })
  })
}

/** All messages of a stream of responses, and its status. */
export function collectMessages(
  call: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>,
): Promise<{ messages: Buffer[]; code: number; details: string; head: grpc.Metadata | null; trailers: grpc.Metadata }> {
  return new Promise((resolve) => {
    const messages: Buffer[] = []
    let head: grpc.Metadata | null = null
    call.on('metadata', (metadata: grpc.Metadata) => (head = metadata))
    call.on('data', (message: Buffer) => messages.push(message))
    call.on('error', () => {})
    call.on('status', ({ code, details, metadata }: grpc.StatusObject) =>
      setImmediate(() => resolve({ messages, code, details, head, trailers: metadata })),
    )
  })
}

export const SERVER_STREAM = (client: grpc.Client, message: Buffer, options: grpc.CallOptions = {}, metadata = new grpc.Metadata()) =>
  client.makeServerStreamRequest(ECHO.ServerStreamingEcho.path, AS_IS, AS_IS, message, metadata, options)

export const BIDI = (client: grpc.Client, options: grpc.CallOptions = {}, metadata = new grpc.Metadata()) =>
  client.makeBidiStreamRequest(ECHO.BidirectionalStreamingEcho.path, AS_IS, AS_IS, metadata, options)

export function clientStream(
  client: grpc.Client,
  options: grpc.CallOptions = {},
): { call: grpc.ClientWritableStream<Buffer>; done: Promise<{ code: number; message: Buffer | null; details: string }> } {
  let call!: grpc.ClientWritableStream<Buffer>
  const done = new Promise<{ code: number; message: Buffer | null; details: string }>((resolve) => {
    call = client.makeClientStreamRequest(ECHO.ClientStreamingEcho.path, AS_IS, AS_IS, new grpc.Metadata(), options, (error, value) => {
      resolve({ code: error?.code ?? 0, message: (value as Buffer | undefined) ?? null, details: error?.details ?? '' })
    })
  })
  return { call, done }
}

type Stream = http2.ServerHttp2Stream

/** A server over node:http2 that answers as it is told, valid gRPC or not. */
export async function startHttp2Server(
  scope: CleanupScope,
  onStream: (stream: Stream, headers: http2.IncomingHttpHeaders) => void,
): Promise<{ address: string }> {
  const server = http2.createServer()
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    stream.resume()
    onStream(stream, headers)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.after(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** The head of a gRPC response, trailers to come. */
export function respondWith(stream: Stream, trailers: http2.OutgoingHttpHeaders | null): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: trailers !== null })
  if (trailers !== null) stream.on('wantTrailers', () => stream.sendTrailers(trailers))
}

/** A message as it stands in the stream. */
export function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

const HEALTH = { Check: method('/grpc.health.v1.Health/Check', false, false) }

/** grpc.health.v1 that is always SERVING. */
export function addHealth({ server }: EchoServer): void {
  server.addService(HEALTH, { Check: (_: unknown, callback: grpc.sendUnaryData<Buffer>) => callback(null, Buffer.from([0x08, 1])) })
}

/** A gateway in front of these endpoints, with one worker. */
export function gatewayConfig(endpoints: string[], service: object = {}, rest: object = {}): object {
  return {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { echo: { endpoints, protocol: 'grpc', ejection: null, ...service } },
    routes: { all: { to: 'echo' } },
    ...rest,
  }
}

/** The values of a metric by the labels asked for. */
export async function metricOf(adminUrl: string | null, name: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const values: Record<string, number> = {}
  for (const [, labels, value] of text.matchAll(new RegExp(`^${name}\\{([^}]*)\\} (\\S+)$`, 'gm'))) values[labels as string] = Number(value)
  return values
}
