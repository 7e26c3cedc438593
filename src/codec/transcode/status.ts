import { fromBinary, type JsonValue, type Registry, toJson } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt'

/** google.rpc.Status as JSON: what a client without gRPC is told of an error. */
export interface StatusJson {
  code: number
  message: string
  details: JsonValue[]
}

const CODE = 1
const MESSAGE = 2
const DETAILS = 3
const MAX_DETAILS = 100

/** Reads `grpc-status-details-bin`, a google.rpc.Status in base64; null when it is not one. */
export function readStatusDetails(text: string, registry: Registry): StatusJson | null {
  const status: StatusJson = { code: 0, message: '', details: [] }
  try {
    const reader = new BinaryReader(Buffer.from(text, 'base64'))
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag()
      if (field === CODE && wire === WireType.Varint) status.code = reader.int32()
      else if (field === MESSAGE && wire === WireType.LengthDelimited) status.message = reader.string()
      else if (field === DETAILS && wire === WireType.LengthDelimited && status.details.length < MAX_DETAILS)
        status.details.push(detailJson(fromBinary(AnySchema, reader.bytes()), registry))
      else reader.skip(wire, field)
    }
  } catch {
    return null
  }
  return status
}

/** With its fields when its type is known, as bytes otherwise. */
function detailJson(detail: Any, registry: Registry): JsonValue {
  try {
    return toJson(AnySchema, detail, { registry })
  } catch {
    return { '@type': detail.typeUrl, value: Buffer.from(detail.value).toString('base64') }
  }
}
