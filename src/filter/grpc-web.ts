import { GatewayError } from '../base/error.ts'
import { Base64Decoder } from '../codec/grpc/base64-stream.ts'
import { encodeTrailerFrame } from '../codec/grpc/web-trailers.ts'
import type { Exchange, LocalResponse } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { GrpcCall } from '../exchange/grpc-call.ts'
import { type BodyTransform, transformRequest, transformResponse } from '../exchange/transform.ts'

const WEB_TYPE = /^application\/grpc-web(-text)?(\+[a-z0-9.-]+)?[ \t]*(?:;|$)/i
const GRPC_TYPE = /^application\/grpc(\+[a-z0-9.-]+)?[ \t]*(?:;|$)/i

/**
 * `grpc-web`: lets browsers call gRPC services. A gRPC-Web request becomes a gRPC request, and the response takes the way back: messages
 * as they are, the trailers as the last frame of the body; in the text form all of it in base64. Other requests pass untouched.
 */
export function createGrpcWebFilter(): Filter {
  return {
    name: 'grpc-web',
    onRequest(x: Exchange): void {
      const { headers } = x.request
      const match = x.method === 'POST' ? WEB_TYPE.exec(headers.get('content-type') ?? '') : null
      if (match === null) return
      const accepted = WEB_TYPE.exec(headers.get('accept') ?? '')
      const isText = (accepted ?? match)[1] !== undefined
      headers.set('content-type', `application/grpc${match[2] ?? ''}`)
      headers.set('te', 'trailers')
      headers.remove('accept')
      headers.remove('x-grpc-web')
      x.grpc = new GrpcCall(0)
      x.localForm = isText ? LOCAL_TEXT : LOCAL_BINARY
      if (match[1] !== undefined && x.hasRequestBody) transformRequest(x, new TextRequest())
    },
    onResponse(x: Exchange): void {
      const { localForm, response } = x
      // An answer of ours has its form already.
      if ((localForm !== LOCAL_TEXT && localForm !== LOCAL_BINARY) || response === null || x.appliedLocal !== null) return
      const isText = localForm === LOCAL_TEXT
      const { headers } = response
      const type = GRPC_TYPE.exec(headers.get('content-type') ?? '')
      headers.set('content-type', webType(isText, type?.[1]))
      headers.remove('trailer')
      headers.remove('content-length')
      // Trailers only: they stay in the head.
      if (headers.has('grpc-status')) return
      transformResponse(x, isText ? new TextResponse(x.grpc) : new BinaryResponse(x.grpc))
    },
    onFinish: null,
  }
}

function webType(isText: boolean, suffix: string | undefined): string {
  return `application/grpc-web${isText ? '-text' : ''}${suffix ?? '+proto'}`
}

const LOCAL_TEXT = (_x: Exchange, local: LocalResponse): LocalResponse => asWeb(local, true)
const LOCAL_BINARY = (_x: Exchange, local: LocalResponse): LocalResponse => asWeb(local, false)

/** An answer of ours to a gRPC client is trailers only, which gRPC-Web has in the head as well. */
function asWeb(local: LocalResponse, isText: boolean): LocalResponse {
  const headers = [...local.headers]
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() !== 'content-type') continue
    const type = GRPC_TYPE.exec(headers[i + 1] as string)
    if (type !== null) headers[i + 1] = webType(isText, type[1])
  }
  return { status: local.status, headers, body: local.body }
}

const EMPTY = Buffer.alloc(0)

class TextRequest implements BodyTransform {
  trailers = ''
  readonly #decoder = new Base64Decoder()

  push(bytes: Buffer, start: number, end: number): Buffer {
    const decoded = this.#decoder.decode(bytes, start, end)
    if (decoded === null) throw new GatewayError('bad_request', 'the body of a gRPC-Web text request is not base64')
    return decoded
  }

  end(): Buffer {
    if (!this.#decoder.isComplete) throw new GatewayError('bad_request', 'the base64 of a gRPC-Web text request is cut off')
    return EMPTY
  }
}

class BinaryResponse implements BodyTransform {
  readonly trailers = ''
  readonly #call: GrpcCall | null

  constructor(call: GrpcCall | null) {
    this.#call = call
  }

  push(bytes: Buffer, start: number, end: number): Buffer {
    // The wire keeps what it is given, and this is a read buffer.
    return Buffer.from(bytes.subarray(start, end))
  }

  end(trailers: string): Buffer {
    return endOfBody(this.#call, trailers)
  }
}

/** Each piece is padded by itself, so that a client can read what has come (gRPC-Web, "Text-encoded"). */
class TextResponse implements BodyTransform {
  readonly trailers = ''
  readonly #call: GrpcCall | null

  constructor(call: GrpcCall | null) {
    this.#call = call
  }

  push(bytes: Buffer, start: number, end: number): Buffer {
    return Buffer.from(bytes.toString('base64', start, end), 'latin1')
  }

  end(trailers: string): Buffer {
    return Buffer.from(endOfBody(this.#call, trailers).toString('base64'), 'latin1')
  }
}

/** The frame of the trailers. Inside of a message it would be read as the rest of that. */
function endOfBody(call: GrpcCall | null, trailers: string): Buffer {
  if (call?.responses.isBetweenMessages === false)
    throw new GatewayError('upstream_truncated', 'the service ended the call inside a message')
  return encodeTrailerFrame(trailers)
}
