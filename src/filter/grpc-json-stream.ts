import type { JsonObject } from '@bufbuild/protobuf'
import { GatewayError } from '../base/error.ts'
import { encodeGrpcFrame, GrpcFrameError, GrpcMessageReader } from '../codec/grpc/message-reader.ts'
import { GRPC_INTERNAL } from '../codec/grpc/status.ts'
import { JsonStreamError, JsonValues } from '../codec/json-values.ts'
import type { Binding } from '../codec/transcode/bindings.ts'
import { FieldError } from '../codec/transcode/fields.ts'
import { decodeResponse, encodeRequest, type JsonOptions } from '../codec/transcode/messages.ts'
import type { BodyTransform } from '../exchange/transform.ts'
import { readTrailerStatus } from './grpc-json-status.ts'

/** What both directions need of a call. */
export interface JsonCall {
  readonly binding: Binding
  readonly options: JsonOptions
  readonly maxMessageBytes: number
  /** What the URL says of the message; null: nothing. */
  readonly url: JsonObject | null
  /** A value per line instead of a list. */
  readonly isLines: boolean
  /** The response is no JSON, but a body as it is. */
  readonly isRaw: boolean
}

const EMPTY = Buffer.alloc(0)

/** A stream of requests: the elements of a JSON list, or JSON values one after the other, to messages of gRPC. */
export class JsonRequestStream implements BodyTransform {
  readonly trailers = ''
  readonly #call: JsonCall
  readonly #values: JsonValues
  #count = 0

  constructor(call: JsonCall) {
    this.#call = call
    this.#values = new JsonValues(call.maxMessageBytes)
  }

  push(bytes: Buffer, start: number, end: number): Buffer {
    return this.#encode(() => this.#values.read(bytes, start, end))
  }

  end(): Buffer {
    return this.#encode(() => {
      const last = this.#values.end()
      return last === null ? [] : [last]
    })
  }

  #encode(read: () => Buffer[]): Buffer {
    try {
      const frames = read().map((value) => this.#frame(value))
      return frames.length === 0 ? EMPTY : frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames)
    } catch (error) {
      if (!(error instanceof JsonStreamError) && !(error instanceof FieldError)) throw error
      throw new GatewayError('bad_request', `message ${this.#count + 1}: ${error.message}`)
    }
  }

  #frame(value: Buffer): Buffer {
    const { binding, url, options } = this.#call
    const frame = encodeGrpcFrame(encodeRequest(binding, url, value.toString(), options))
    this.#count++
    return frame
  }
}

/** A stream of responses: a JSON list, or a JSON value per line. An error at the end is the last element: `{"error": <status>}`. */
export class JsonResponseStream implements BodyTransform {
  readonly trailers = ''
  readonly #call: JsonCall
  readonly #reader: GrpcMessageReader
  #isFirst = true

  constructor(call: JsonCall) {
    this.#call = call
    this.#reader = new GrpcMessageReader(call.maxMessageBytes)
  }

  push(bytes: Buffer, start: number, end: number): Buffer {
    let text = ''
    for (const message of readMessages(this.#reader, bytes, start, end)) text += this.#element(decodeMessage(this.#call, message))
    return text === '' ? EMPTY : Buffer.from(text)
  }

  end(trailers: string): Buffer {
    const status = readTrailerStatus(trailers, this.#call.options.registry)
    if (status.code === 0 && !this.#reader.isComplete) {
      status.code = GRPC_INTERNAL
      status.message = 'the service ended the call inside a message'
    }
    const error = status.code === 0 ? '' : this.#element(JSON.stringify({ error: status }))
    if (this.#call.isLines) return Buffer.from(error)
    return Buffer.from(`${error}${this.#isFirst ? '[' : ''}]\n`)
  }

  #element(json: string): string {
    if (this.#call.isLines) return `${json}\n`
    const before = this.#isFirst ? '[' : ',\n'
    this.#isFirst = false
    return before + json
  }
}

/** Whole messages of a response. Throws GatewayError. */
export function readMessages(reader: GrpcMessageReader, bytes: Buffer, start: number, end: number): Buffer[] {
  try {
    return reader.read(bytes, start, end)
  } catch (error) {
    if (!(error instanceof GrpcFrameError)) throw error
    throw new GatewayError('upstream_protocol', `the response of the service cannot be read: ${error.message}`)
  }
}

/** The JSON of a message. Throws GatewayError. */
export function decodeMessage({ binding, options }: JsonCall, message: Buffer): string {
  try {
    return decodeResponse(binding, message, options)
  } catch (error) {
    throw new GatewayError(
      'upstream_protocol',
      `the service did not answer with a ${binding.method.output.typeName}: ${(error as Error).message}`,
    )
  }
}
