import { GatewayError } from '../base/error.ts'
import { encodeGrpcFrame, GrpcMessageReader } from '../codec/grpc/message-reader.ts'
import {
  GRPC_INVALID_ARGUMENT,
  GRPC_NOT_FOUND,
  GRPC_RESOURCE_EXHAUSTED,
  GRPC_UNIMPLEMENTED,
  httpStatusOfGrpc,
} from '../codec/grpc/status.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import { type Binding, compileDescriptors, type Transcoding } from '../codec/transcode/bindings.ts'
import { FieldError } from '../codec/transcode/fields.ts'
import { encodeRawRequest, givesRawBody, takesRawBody } from '../codec/transcode/http-body.ts'
import { encodeRequest, type JsonOptions, readUrl } from '../codec/transcode/messages.ts'
import { createOpenApi } from '../codec/transcode/openapi.ts'
import type { GrpcJsonFilterConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { GrpcCall } from '../exchange/grpc-call.ts'
import { type BodyTransform, transformRequest, transformResponse } from '../exchange/transform.ts'
import { RequestBody, ResponseBody } from './custom-body.ts'
import { ExchangeEndedError } from './custom-promise.ts'
import { contentTypeOf, decodeRaw, firstMessage, RawRequestStream, RawResponseStream } from './grpc-json-raw.ts'
import { encodeStatus, JSON_TYPE, localStatus, readStatus, readTrailerStatus, respondStatus } from './grpc-json-status.ts'
import { decodeMessage, type JsonCall, JsonRequestStream, JsonResponseStream, readMessages } from './grpc-json-stream.ts'

const LINES_TYPE = 'application/x-ndjson'
const FRAME_BYTES = 5
const EMPTY = Buffer.alloc(0)
const NO_BODY = { contentType: '', data: EMPTY }
/** Of the request, what is about the body that was. */
const BODY_FIELDS = ['content-length', 'content-encoding', 'accept', 'accept-encoding', 'grpc-accept-encoding', 'grpc-encoding']
/** Of the response, what is about gRPC. */
const GRPC_FIELDS = [
  'content-length',
  'trailer',
  'grpc-status',
  'grpc-message',
  'grpc-status-details-bin',
  'grpc-encoding',
  'grpc-accept-encoding',
]
/** Trailers of these names would be read as what they are not, in a head. */
const NOT_IN_HEAD = /^(?:grpc-|content-|transfer-|connection$|trailer$|te$|upgrade$|set-cookie$|host$)/

/** What a transcoder is made of. */
export interface TranscoderOptions {
  readonly config: GrpcJsonFilterConfig
  /** A FileDescriptorSet. */
  readonly descriptors: Uint8Array
}

/** Throws DescriptorError when the descriptors cannot be used. */
export function createTranscoder({ config, descriptors }: TranscoderOptions): Transcoder {
  const transcoding = compileDescriptors(descriptors, config.services)
  const document = config.openapi === null ? null : Buffer.from(`${JSON.stringify(createOpenApi(transcoding))}\n`)
  return new Transcoder(transcoding, config, document)
}

/**
 * JSON over HTTP to gRPC and back, as google.api.http in the descriptors says. A single message is held whole; a stream is not: its
 * messages go through one by one.
 */
export class Transcoder {
  readonly #transcoding: Transcoding
  readonly #config: GrpcJsonFilterConfig
  readonly #document: Buffer | null
  readonly #json: JsonOptions
  readonly #localForm: NonNullable<Exchange['localForm']>
  readonly #calls = new WeakMap<Exchange, JsonCall>()

  constructor(transcoding: Transcoding, config: GrpcJsonFilterConfig, document: Buffer | null) {
    const { registry } = transcoding
    this.#transcoding = transcoding
    this.#config = config
    this.#document = document
    this.#json = { registry, ignoreUnknown: config.ignoreUnknown, emitDefaults: config.emitDefaults }
    this.#localForm = (x, local) => localStatus(x, local, registry)
  }

  // ---- the request ----

  request(x: Exchange): void | Promise<void> {
    const { headers } = x.request
    if (this.#document !== null && x.path === this.#config.openapi && (x.method === 'GET' || x.method === 'HEAD'))
      return x.respond(200, ['Content-Type', JSON_TYPE], this.#document)
    const match = this.#transcoding.table.find(x.method, x.path)
    if (match === null) return respondStatus(x, 404, GRPC_NOT_FOUND, 'no method is bound to this path')
    if (!('value' in match))
      return respondStatus(x, 405, GRPC_UNIMPLEMENTED, 'no method is bound to this path with this HTTP method', ['Allow', match.join(', ')])
    const coding = headers.get('content-encoding')
    if (coding !== undefined && coding !== 'identity')
      return respondStatus(x, 415, GRPC_INVALID_ARGUMENT, `a body with Content-Encoding ${coding} is not read here`)
    return this.#begin(x, match.value, match.segments)
  }

  #begin(x: Exchange, binding: Binding, segments: readonly string[]): void | Promise<void> {
    const call = this.#read(x, () => this.#createCall(x, binding, segments))
    if (call === null) return
    const isRaw = takesRawBody(binding)
    const contentType = x.request.headers.get('content-type') ?? ''
    if (binding.method.isClientStreaming && binding.body !== null) {
      // What the URL says is refused before anything is sent.
      if (isRaw && this.#read(x, () => encodeRawRequest(binding, call.url, null, this.#json)) === null) return
      this.#becomeGrpc(x, call)
      if (x.hasRequestBody) transformRequest(x, isRaw ? new RawRequestStream(call, contentType) : new JsonRequestStream(call))
      return
    }
    const body = new RequestBody(x)
    const encode = (bytes: Buffer | null): Uint8Array => {
      if (isRaw) return encodeRawRequest(binding, call.url, bytes === null ? null : { contentType, data: bytes }, this.#json)
      return encodeRequest(binding, call.url, bytes === null ? '' : bytes.toString(), this.#json)
    }
    if (!x.hasRequestBody) return this.#send(x, call, body, () => encode(null))
    return body.collect(this.#config.maxMessageBytes).then(
      (bytes) => this.#send(x, call, body, () => encode(bytes)),
      (error: unknown) => {
        if (error instanceof ExchangeEndedError) return
        if (!(error instanceof GatewayError)) throw error
        if (x.finished || x.local !== null) return
        respondStatus(x, 413, GRPC_RESOURCE_EXHAUSTED, error.message)
      },
    )
  }

  #createCall(x: Exchange, binding: Binding, segments: readonly string[]): JsonCall {
    return {
      binding,
      options: this.#json,
      maxMessageBytes: this.#config.maxMessageBytes,
      url: readUrl(binding, segments, x.query, this.#json),
      isLines: (x.request.headers.get('accept') ?? '').includes(LINES_TYPE),
      isRaw: givesRawBody(binding),
    }
  }

  #send(x: Exchange, call: JsonCall, body: RequestBody, encode: () => Uint8Array): void {
    // It may have ended just now, and its heads be those of another one.
    if (x.finished || x.local !== null) return
    const message = this.#read(x, encode)
    if (message === null) return
    this.#becomeGrpc(x, call)
    body.replace(encodeGrpcFrame(message), () => {})
  }

  /** What `read` returns; null when the request is not good, and has been answered. */
  #read<T>(x: Exchange, read: () => T): T | null {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof FieldError)) throw error
      respondStatus(x, 400, GRPC_INVALID_ARGUMENT, error.message)
      return null
    }
  }

  #becomeGrpc(x: Exchange, call: JsonCall): void {
    const { headers } = x.request
    for (const name of BODY_FIELDS) headers.remove(name)
    headers.set('content-type', 'application/grpc')
    headers.set('te', 'trailers')
    x.method = 'POST'
    x.setPath(call.binding.method.path, null)
    x.grpc = new GrpcCall(0)
    x.localForm = this.#localForm
    this.#calls.set(x, call)
  }

  // ---- the response ----

  response(x: Exchange): void | Promise<void> {
    const call = this.#calls.get(x)
    const { response } = x
    // An answer of ours has its form already.
    if (call === undefined || response === null || x.appliedLocal !== null) return
    if (response.headers.has('grpc-status')) {
      const status = readStatus((name) => response.headers.get(name), this.#json.registry)
      if (status.code !== 0) return putBody(x, response, httpStatusOfGrpc(status.code), JSON_TYPE, encodeStatus(status))
    }
    if (call.binding.method.isServerStreaming) return call.isRaw ? this.#rawStream(x, call, response) : this.#stream(x, call, response)
    const body = new ResponseBody(x)
    if (body.isComplete) return this.#unary(x, call, response, joined(x))
    return body.collect(this.#config.maxMessageBytes + FRAME_BYTES).then(
      (bytes) => this.#unary(x, call, response, bytes),
      (error: unknown) => {
        if (!(error instanceof ExchangeEndedError)) throw error
      },
    )
  }

  #stream(x: Exchange, call: JsonCall, response: ResponseHead): void {
    cleanHead(response.headers)
    response.headers.set('content-type', call.isLines ? LINES_TYPE : JSON_TYPE)
    transformResponse(x, new JsonResponseStream(call))
  }

  /** The head waits for the first message, which has the type. */
  #rawStream(x: Exchange, call: JsonCall, response: ResponseHead): Promise<void> {
    return firstMessage(x, call.maxMessageBytes).then((message) => {
      if (x.finished || x.appliedLocal !== null) return
      if (message === null) {
        const status = readTrailerStatus(x.heldResponseEnd ?? '', this.#json.registry)
        if (status.code !== 0) return putBody(x, response, httpStatusOfGrpc(status.code), JSON_TYPE, encodeStatus(status))
      }
      cleanHead(response.headers)
      response.headers.set('content-type', contentTypeOf(message === null ? NO_BODY : decodeRaw(call, message)))
      transformResponse(x, new RawResponseStream(call))
    })
  }

  #unary(x: Exchange, call: JsonCall, response: ResponseHead, bytes: Buffer): void {
    if (x.finished || x.appliedLocal !== null) return
    const trailers = x.heldResponseEnd ?? ''
    const status = readTrailerStatus(trailers, this.#json.registry)
    copyTrailers(response.headers, trailers)
    if (trailers !== '' && status.code !== 0) return putBody(x, response, httpStatusOfGrpc(status.code), JSON_TYPE, encodeStatus(status))
    const reader = new GrpcMessageReader(this.#config.maxMessageBytes)
    const messages = readMessages(reader, bytes, 0, bytes.length)
    if (messages.length !== 1) throw new GatewayError('upstream_protocol', `the service answered a call with ${messages.length} messages`)
    if (!reader.isComplete) throw new GatewayError('upstream_protocol', 'the service ended the call inside a message')
    const message = messages[0] as Buffer
    if (!call.isRaw) return putBody(x, response, 200, JSON_TYPE, Buffer.from(decodeMessage(call, message)))
    const raw = decodeRaw(call, message)
    putBody(x, response, 200, contentTypeOf(raw), Buffer.from(raw.data))
  }
}

function joined(x: Exchange): Buffer {
  return Buffer.concat(x.heldResponse ?? [])
}

/** The whole of a response. Its end is still to come when it had no body. */
function putBody(x: Exchange, response: ResponseHead, status: number, type: string, body: Buffer): void {
  cleanHead(response.headers)
  response.headers.set('content-type', type)
  response.status = status
  response.reason = ''
  response.contentLength = body.length
  x.heldResponse = [body]
  x.heldResponseBytes = body.length
  if (x.heldResponseEnd !== null) x.heldResponseEnd = ''
  else x.responseTransform = NOTHING_MORE
}

/** For a response that is complete already, while the service has yet to end its own. */
const NOTHING_MORE: BodyTransform = { trailers: '', push: () => EMPTY, end: () => EMPTY }

function cleanHead(headers: HeaderBlock): void {
  for (const name of GRPC_FIELDS) headers.remove(name)
}

/** What a service says behind the message, to whoever reads heads only. */
function copyTrailers(headers: HeaderBlock, trailers: string): void {
  for (const line of trailers.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0 && !NOT_IN_HEAD.test(line.slice(0, colon).toLowerCase())) headers.add(line.slice(0, colon), line.slice(colon + 1).trim())
  }
}
