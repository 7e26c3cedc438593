import { GRPC_STATUS_NAMES } from '../../base/grpc-status.ts'

export { GRPC_STATUS_NAMES }

/**
 * gRPC status codes (gRPC's statuscodes document) and how they go together with HTTP statuses. The two maps are not inverses: from
 * HTTP one guesses what somebody in between meant, towards HTTP one tells a client without gRPC what happened.
 */
export const GRPC_OK = 0
export const GRPC_CANCELLED = 1
export const GRPC_UNKNOWN = 2
export const GRPC_INVALID_ARGUMENT = 3
export const GRPC_DEADLINE_EXCEEDED = 4
export const GRPC_NOT_FOUND = 5
export const GRPC_ALREADY_EXISTS = 6
export const GRPC_PERMISSION_DENIED = 7
export const GRPC_RESOURCE_EXHAUSTED = 8
export const GRPC_FAILED_PRECONDITION = 9
export const GRPC_ABORTED = 10
export const GRPC_OUT_OF_RANGE = 11
export const GRPC_UNIMPLEMENTED = 12
export const GRPC_INTERNAL = 13
export const GRPC_UNAVAILABLE = 14
export const GRPC_DATA_LOSS = 15
export const GRPC_UNAUTHENTICATED = 16

/** There is no status. */
export const NO_GRPC_STATUS = -1

/** By gRPC code. */
const HTTP_STATUSES: readonly number[] = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]

/** The status that stands for an HTTP status; only for responses that have no `grpc-status` of their own. */
export function grpcStatusOfHttp(status: number): number {
  switch (status) {
    case 400:
    case 431:
      return GRPC_INTERNAL
    case 401:
      return GRPC_UNAUTHENTICATED
    case 403:
      return GRPC_PERMISSION_DENIED
    case 404:
      return GRPC_UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return GRPC_UNAVAILABLE
    default:
      return GRPC_UNKNOWN
  }
}

/** The HTTP status that tells a client without gRPC about a gRPC status. What is no code is 500, as UNKNOWN. */
export function httpStatusOfGrpc(code: number): number {
  return HTTP_STATUSES[code] ?? 500
}

/** The code of a `grpc-status` field: NO_GRPC_STATUS when there is none, UNKNOWN for what is no code. */
export function parseGrpcStatus(value: string | undefined): number {
  if (value === undefined) return NO_GRPC_STATUS
  if (value === '0') return GRPC_OK
  const code = /^[1-9]\d?$/.test(value) ? Number(value) : GRPC_UNKNOWN
  return code < GRPC_STATUS_NAMES.length ? code : GRPC_UNKNOWN
}

/** Bit per code: these say that the service is not well, as a 5xx does. Every other one answers the caller. */
const FAILURES =
  (1 << GRPC_UNKNOWN) | (1 << GRPC_DEADLINE_EXCEEDED) | (1 << GRPC_INTERNAL) | (1 << GRPC_UNAVAILABLE) | (1 << GRPC_DATA_LOSS)

/** Whether a status says that the service is not well: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
export function isGrpcFailure(code: number): boolean {
  return code > GRPC_OK && ((FAILURES >>> code) & 1) === 1
}
