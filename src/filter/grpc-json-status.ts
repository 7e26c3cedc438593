import type { Registry } from '@bufbuild/protobuf'
import { ERROR_KINDS } from '../base/error.ts'
import { findTrailer } from '../codec/grpc/fields.ts'
import { decodeGrpcMessage } from '../codec/grpc/message-text.ts'
import { GRPC_INVALID_ARGUMENT, GRPC_NOT_FOUND, GRPC_UNKNOWN, httpStatusOfGrpc, parseGrpcStatus } from '../codec/grpc/status.ts'
import { readStatusDetails, type StatusJson } from '../codec/transcode/status.ts'
import type { Exchange, LocalResponse } from '../exchange/exchange.ts'

/** Errors of transcoded calls: google.rpc.Status as JSON, with the HTTP status that goes with its code. */

export const JSON_TYPE = 'application/json'

/** The status in fields of a head, or trailers. */
export function readStatus(field: (name: string) => string | undefined, registry: Registry): StatusJson {
  const code = parseGrpcStatus(field('grpc-status'))
  const details = field('grpc-status-details-bin')
  const status = details === undefined ? null : readStatusDetails(details, registry)
  return {
    code: code < 0 ? GRPC_UNKNOWN : code,
    message: decodeGrpcMessage(field('grpc-message') ?? status?.message ?? ''),
    details: status?.details ?? [],
  }
}

/** The same out of field lines. */
export function readTrailerStatus(trailers: string, registry: Registry): StatusJson {
  return readStatus((name) => findTrailer(trailers, name), registry)
}

/** Answers the request itself: it cannot be sent on. */
export function respondStatus(x: Exchange, httpStatus: number, code: number, message: string, headers: readonly string[] = []): void {
  const status: StatusJson = { code, message, details: [] }
  x.respond(httpStatus, ['Content-Type', JSON_TYPE, 'Cache-Control', 'no-store', ...headers], encodeStatus(status))
}

export function encodeStatus(status: StatusJson): Buffer {
  return Buffer.from(`${JSON.stringify(status)}\n`)
}

/** An answer of ours, which is gRPC's by now (trailers only), as the client of a transcoded call reads it. */
export function localStatus(x: Exchange, local: LocalResponse, registry: Registry): LocalResponse {
  const status = readStatus((name) => fieldOf(local, name), registry)
  const headers = ['content-type', JSON_TYPE]
  for (let i = 0; i < local.headers.length; i += 2) {
    const name = (local.headers[i] as string).toLowerCase()
    if (!name.startsWith('grpc-') && !name.startsWith('content-')) headers.push(name, local.headers[i + 1] as string)
  }
  const { errorCode } = x
  if (errorCode === null) return { status: httpStatusOfGrpc(status.code), headers, body: encodeStatus(status) }
  // An error of ours keeps the status it has for every other client.
  const { http } = ERROR_KINDS[errorCode]
  if (http === 400) status.code = GRPC_INVALID_ARGUMENT
  else if (http === 404) status.code = GRPC_NOT_FOUND
  return { status: http, headers, body: encodeStatus(status) }
}

function fieldOf({ headers }: LocalResponse, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if ((headers[i] as string).toLowerCase() === name) return headers[i + 1]
  return undefined
}
