import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectPlainly } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { fromBinary } from '@bufbuild/protobuf'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { encodeGrpcFrame, GrpcMessageReader } from '../codec/grpc/message-reader.ts'
import { decodeGrpcMessage } from '../codec/grpc/message-text.ts'
import { GRPC_OK, GRPC_STATUS_NAMES, GRPC_UNIMPLEMENTED, NO_GRPC_STATUS, parseGrpcStatus } from '../codec/grpc/status.ts'
import type { TlsTexts } from '../config/tls-types.ts'
import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import { createServiceContext, createTlsOptions } from './service-tls.ts'

/** Descriptors by server reflection (gRPC's "Server Reflection Protocol"), version v1 or v1alpha. Not for the hot path. */

const PATHS = [
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
]
/** For all questions to one endpoint. */
const TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 8 * 1024 * 1024
const MAX_FILES = 2000
const MAX_TOTAL_BYTES = 32 * 1024 * 1024
/** Services that are there for every client, and no part of the interface. */
const NOT_OURS = /^grpc\.(?:reflection|health|channelz)\./

/** Numbers of fields of ServerReflectionRequest. */
const BY_NAME = 3
const BY_SYMBOL = 4
const LIST = 7

/** The FileDescriptorSet of a service, from the first endpoint that has it. `names`: full names of gRPC services; null: all there are. */
export async function reflectDescriptors(config: ServiceConfig, texts: TlsTexts, names: readonly string[] | null): Promise<Uint8Array> {
  let failure: unknown = new Error('the service has no endpoints')
  for (const endpoint of config.endpoints) {
    try {
      return await reflectEndpoint(endpoint, config, texts, names)
    } catch (error) {
      failure = new Error(`${endpoint.address}: ${(error as Error).message}`)
    }
  }
  throw failure
}

async function reflectEndpoint(
  endpoint: EndpointConfig,
  config: ServiceConfig,
  texts: TlsTexts,
  names: readonly string[] | null,
): Promise<Uint8Array> {
  const session = openSession(endpoint, config, texts)
  const lost = new Promise<never>((_resolve, reject) => {
    session.on('error', reject)
    session.on('close', () => reject(new Error('the connection was closed')))
    session.setTimeout(TIMEOUT_MS, () => reject(new Error('it does not answer')))
  })
  lost.catch(() => {})
  try {
    return await Promise.race([ask(session, names), lost])
  } finally {
    session.destroy()
  }
}

function openSession({ host, port, address }: EndpointConfig, config: ServiceConfig, texts: TlsTexts): ClientHttp2Session {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  if (config.tls === null) return connect(`http://${address}`, { createConnection: () => connectPlainly({ host: bare, port }) })
  const options = createTlsOptions(config.tls, createServiceContext(config.tls, texts), config.hostHeader, host)
  return connect(`https://${address}`, {
    createConnection: () => connectSecurely({ host: bare, port, ...options, ALPNProtocols: ['h2'] }),
  })
}

async function ask(session: ClientHttp2Session, names: readonly string[] | null): Promise<Uint8Array> {
  const [path = '', listed] = await findVersion(session)
  const collector = new Collector()
  const symbols = names ?? listed.filter((name) => !NOT_OURS.test(name))
  if (symbols.length === 0) throw new Error('its reflection knows no services')
  for (const symbol of symbols) collector.add(readFiles(await question(session, path, BY_SYMBOL, symbol)))
  for (let missing = collector.missing(); missing !== null; missing = collector.missing()) {
    const files = readFiles(await question(session, path, BY_NAME, missing))
    collector.add(files)
    if (!collector.has(missing)) throw new Error(`its reflection does not have the file ${missing}`)
  }
  return collector.encode()
}

/** The path of the version that is there, and the services it lists. */
async function findVersion(session: ClientHttp2Session): Promise<[string, string[]]> {
  for (const path of PATHS) {
    try {
      return [path, readServices(await question(session, path, LIST, '*'))]
    } catch (error) {
      if (!(error instanceof UnimplementedError)) throw error
    }
  }
  throw new Error('it has no server reflection')
}

class UnimplementedError extends Error {}

/** One question on a call of its own; the answer is a ServerReflectionResponse. */
function question(session: ClientHttp2Session, path: string, field: number, text: string): Promise<Buffer> {
  const request = new BinaryWriter().tag(field, WireType.LengthDelimited).string(text).finish()
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' })
    const reader = new GrpcMessageReader(MAX_ANSWER_BYTES)
    let answer: Buffer | null = null
    const readStatus = (fields: Record<string, unknown>): void => {
      const status = parseGrpcStatus(fields['grpc-status'] as string | undefined)
      if (status === NO_GRPC_STATUS || status === GRPC_OK) return
      const reason = `grpc-status ${GRPC_STATUS_NAMES[status]}: ${decodeGrpcMessage(String(fields['grpc-message'] ?? ''))}`
      reject(status === GRPC_UNIMPLEMENTED ? new UnimplementedError(reason) : new Error(reason))
    }
    stream.on('response', readStatus)
    stream.on('trailers', readStatus)
    stream.on('data', (piece: Buffer) => {
      try {
        const [message] = reader.read(piece, 0, piece.length)
        if (message !== undefined) answer ??= Buffer.from(message)
      } catch (error) {
        reject(error as Error)
        stream.close()
      }
    })
    stream.on('error', reject)
    stream.on('close', () => (answer === null ? reject(new Error('its reflection does not answer')) : resolve(answer)))
    stream.end(encodeGrpcFrame(request))
  })
}

/** Calls `take` for each field of a message that holds bytes. */
function readFields(bytes: Uint8Array, take: (field: number, content: Uint8Array) => void): void {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (wire === WireType.LengthDelimited) take(field, reader.bytes())
    else reader.skip(wire, field)
  }
}

const FILES_RESPONSE = 4
const SERVICES_RESPONSE = 6
const ERROR_RESPONSE = 7
const ERROR_MESSAGE = 2

/** The content of a response that is an answer of kind `wanted`. */
function readAnswer(answer: Buffer, wanted: number): Uint8Array {
  let content: Uint8Array | null = null
  readFields(answer, (field, bytes) => {
    if (field === wanted) content = bytes
    if (field !== ERROR_RESPONSE) return
    let message = ''
    readFields(bytes, (inner, text) => {
      if (inner === ERROR_MESSAGE) message = Buffer.from(text).toString()
    })
    throw new Error(`its reflection says: ${message}`)
  })
  if (content === null) throw new Error('its reflection answers something else')
  return content
}

function readFiles(answer: Buffer): Uint8Array[] {
  const files: Uint8Array[] = []
  readFields(readAnswer(answer, FILES_RESPONSE), (field, bytes) => {
    if (field === 1) files.push(bytes)
  })
  return files
}

function readServices(answer: Buffer): string[] {
  const names: string[] = []
  readFields(readAnswer(answer, SERVICES_RESPONSE), (field, service) => {
    if (field !== 1) return
    readFields(service, (inner, name) => {
      if (inner === 1) names.push(Buffer.from(name).toString())
    })
  })
  return names
}

/** Files, each once, and those they import. */
class Collector {
  readonly #files = new Map<string, { bytes: Uint8Array; imports: readonly string[] }>()
  #bytes = 0

  has(name: string): boolean {
    return this.#files.has(name)
  }

  add(files: readonly Uint8Array[]): void {
    for (const bytes of files) {
      const { name, dependency } = fromBinary(FileDescriptorProtoSchema, bytes)
      if (this.#files.has(name)) continue
      this.#bytes += bytes.length
      this.#files.set(name, { bytes, imports: dependency })
      if (this.#files.size > MAX_FILES || this.#bytes > MAX_TOTAL_BYTES) throw new Error('its reflection has more than is read here')
    }
  }

  /** A file that another one imports and that is not here; null when all are. */
  missing(): string | null {
    for (const { imports } of this.#files.values()) for (const name of imports) if (!this.#files.has(name)) return name
    return null
  }

  /** A FileDescriptorSet; what is imported stands before what imports it. */
  encode(): Uint8Array {
    const writer = new BinaryWriter()
    const written = new Set<string>()
    const write = (name: string): void => {
      if (written.has(name)) return
      written.add(name)
      const file = this.#files.get(name)
      if (file === undefined) return
      for (const imported of file.imports) write(imported)
      writer.tag(1, WireType.LengthDelimited).bytes(file.bytes)
    }
    for (const name of this.#files.keys()) write(name)
    return writer.finish()
  }
}
