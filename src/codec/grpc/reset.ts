import { CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, INTERNAL_ERROR, REFUSED_STREAM } from '../http2/frame.ts'
import {
  GRPC_CANCELLED,
  GRPC_DEADLINE_EXCEEDED,
  GRPC_INTERNAL,
  GRPC_PERMISSION_DENIED,
  GRPC_RESOURCE_EXHAUSTED,
  GRPC_UNAVAILABLE,
} from './status.ts'

/** What resets of streams mean to calls, and how a call that cannot end with a status is reset (gRPC's document on HTTP/2, "Errors"). */

/** The status of a call whose stream was reset with this error code. Codes nobody knows count as INTERNAL_ERROR (RFC 9113 section 7). */
export function grpcStatusOfReset(errorCode: number): number {
  switch (errorCode) {
    case REFUSED_STREAM:
      return GRPC_UNAVAILABLE
    case CANCEL:
      return GRPC_CANCELLED
    case ENHANCE_YOUR_CALM:
      return GRPC_RESOURCE_EXHAUSTED
    case INADEQUATE_SECURITY:
      return GRPC_PERMISSION_DENIED
    default:
      return GRPC_INTERNAL
  }
}

/** The error code that tells a client this status. UNAVAILABLE has none: REFUSED_STREAM would say that nothing was done. */
export function resetOfGrpcStatus(status: number): number {
  switch (status) {
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
      return CANCEL
    case GRPC_RESOURCE_EXHAUSTED:
      return ENHANCE_YOUR_CALM
    case GRPC_PERMISSION_DENIED:
      return INADEQUATE_SECURITY
    default:
      return INTERNAL_ERROR
  }
}
