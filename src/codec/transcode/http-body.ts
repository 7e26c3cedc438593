import { create, type DescMessage, fromBinary, type JsonObject, type Message, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Binding } from './bindings.ts'
import { type JsonOptions, merge } from './messages.ts'

/** google.api.HttpBody: a body that is no JSON, with its type, in place of a message or of one of its fields. */

const TYPE_NAME = 'google.api.HttpBody'
const CONTENT_TYPE_FIELD = 1
const DATA_FIELD = 2

export interface RawBody {
  /** '' when nobody said. */
  readonly contentType: string
  readonly data: Uint8Array
}

function isRaw(message: DescMessage | undefined): boolean {
  return message?.typeName === TYPE_NAME
}

/** The body of a request goes into the message as it is. */
export function takesRawBody({ body, method }: Pick<Binding, 'body' | 'method'>): boolean {
  if (body === '*') return isRaw(method.input)
  return body?.fieldKind === 'message' && isRaw(body.message)
}

/** The response is a body as it is. */
export function givesRawBody({ responseBody, method }: Pick<Binding, 'responseBody' | 'method'>): boolean {
  if (responseBody === null) return isRaw(method.output)
  return responseBody.fieldKind === 'message' && isRaw(responseBody.message)
}

/** The message of a request with this body; null: it has none. `url`: see `readUrl`. Throws FieldError. */
export function encodeRawRequest({ method, body }: Binding, url: JsonObject | null, raw: RawBody | null, options: JsonOptions): Buffer {
  const message = create(method.input)
  if (url !== null) merge(method.input, message, url, options)
  const rest = toBinary(method.input, message)
  if (raw === null || body === null) return Buffer.from(rest)
  const content = new BinaryWriter()
  if (raw.contentType !== '') content.tag(CONTENT_TYPE_FIELD, WireType.LengthDelimited).string(raw.contentType)
  if (raw.data.length > 0) content.tag(DATA_FIELD, WireType.LengthDelimited).bytes(raw.data)
  const bytes = content.finish()
  if (body === '*') return Buffer.concat([rest, bytes])
  return Buffer.concat([rest, new BinaryWriter().tag(body.number, WireType.LengthDelimited).bytes(bytes).finish()])
}

/** The body in a response. Throws when the bytes are no such message. */
export function decodeRawResponse({ method, responseBody }: Binding, bytes: Uint8Array): RawBody {
  const message: Message & Partial<Record<string, unknown>> = fromBinary(method.output, bytes)
  const body = (responseBody === null ? message : message[responseBody.localName]) as RawBody | undefined
  return { contentType: body?.contentType ?? '', data: body?.data ?? new Uint8Array() }
}
