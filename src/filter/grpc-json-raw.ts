import { GatewayError } from '../base/error.ts'
import { encodeGrpcFrame, GrpcMessageReader } from '../codec/grpc/message-reader.ts'
import { decodeRawResponse, encodeRawRequest, type RawBody } from '../codec/transcode/http-body.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { BodyTransform } from '../exchange/transform.ts'
import { readTrailerStatus } from './grpc-json-status.ts'
import { type JsonCall, readMessages } from './grpc-json-stream.ts'

/** Bodies of transcoded calls that are no JSON (google.api.HttpBody). */

const EMPTY = Buffer.alloc(0)
/** The type of what has none. */
const BYTES_TYPE = 'application/octet-stream'
const HEAD_BYTES = 5

/** A stream of requests: each piece of the body is a message. What the URL says, and the type, are in the first. */
export class RawRequestStream implements BodyTransform {
  readonly trailers = ''
  readonly #call: JsonCall
  readonly #contentType: string
  #isFirst = true

  constructor(call: JsonCall, contentType: string) {
    this.#call = call
    this.#contentType = contentType
  }

  push(bytes: Buffer, start: number, end: number): Buffer {
    const { binding, url, options, maxMessageBytes } = this.#call
    const frames: Buffer[] = []
    for (let at = start; at < end; at += maxMessageBytes) {
      const data = bytes.subarray(at, Math.min(end, at + maxMessageBytes))
      const contentType = this.#isFirst ? this.#contentType : ''
      frames.push(encodeGrpcFrame(encodeRawRequest(binding, this.#isFirst ? url : null, { contentType, data }, options)))
      this.#isFirst = false
    }
    return Buffer.concat(frames)
  }

  end(): Buffer {
    if (!this.#isFirst) return EMPTY
    const { binding, url, options } = this.#call
    return encodeGrpcFrame(encodeRawRequest(binding, url, null, options))
  }
}

/** A stream of responses: what is in the messages, one behind the other. An error at the end can only break it off. */
export class RawResponseStream implements BodyTransform {
  readonly trailers = ''
  readonly #call: JsonCall
  readonly #reader: GrpcMessageReader

  constructor(call: JsonCall) {
    this.#call = call
    this.#reader = new GrpcMessageReader(call.maxMessageBytes)
  }

  push(bytes: Buffer, start: number, end: number): Buffer {
    return Buffer.concat(readMessages(this.#reader, bytes, start, end).map((message) => decodeRaw(this.#call, message).data))
  }

  end(trailers: string): Buffer {
    const { code, message } = readTrailerStatus(trailers, this.#call.options.registry)
    if (code !== 0) throw new GatewayError('upstream_truncated', `the service ended the call with an error: ${message}`)
    if (!this.#reader.isComplete) throw new GatewayError('upstream_protocol', 'the service ended the call inside a message')
    return EMPTY
  }
}

/** The body in a message. Throws GatewayError. */
export function decodeRaw({ binding }: JsonCall, message: Buffer): RawBody {
  try {
    return decodeRawResponse(binding, message)
  } catch (error) {
    throw new GatewayError(
      'upstream_protocol',
      `the service did not answer with a ${binding.method.output.typeName}: ${(error as Error).message}`,
    )
  }
}

/** The type as a field of the head; what a service says may hold anything. */
export function contentTypeOf({ contentType }: RawBody): string {
  return /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(contentType) ? contentType : BYTES_TYPE
}

/**
 * The first message of a stream that is held, which says what type the response has; null: the call has ended without one. Rejects
 * with a GatewayError for a message that is too large. Never settles when the exchange ends before.
 */
export function firstMessage(x: Exchange, maxMessageBytes: number): Promise<Buffer | null> {
  const { epoch } = x
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (x.finished || x.epoch !== epoch) return
      try {
        const held = Buffer.concat(x.heldResponse ?? [])
        const [message] = readMessages(new GrpcMessageReader(maxMessageBytes), held, 0, held.length)
        if (message === undefined && x.heldResponseEnd === null) return wait()
        x.holdResponseLimit = 0
        resolve(message ?? null)
      } catch (error) {
        reject(error as Error)
      }
    }
    const wait = (): void => {
      x.holdResponseLimit = neededBytes(x)
      x.onHeldResponse = look
      x.attempt?.connection?.resumeResponse()
    }
    look()
  })
}

/** One byte less than the first message has, so that the last byte of it is noticed. */
function neededBytes(x: Exchange): number {
  const head = Buffer.concat(x.heldResponse ?? []).subarray(0, HEAD_BYTES)
  return head.length < HEAD_BYTES ? HEAD_BYTES - 1 : HEAD_BYTES + head.readUInt32BE(1) - 1
}
