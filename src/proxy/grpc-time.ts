import { formatGrpcTimeout, parseGrpcTimeoutMs } from '../codec/grpc/timeout.ts'
import { HEADER_GRPC_TIMEOUT } from '../codec/header-id.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { GrpcCall } from '../exchange/grpc-call.ts'
import { PREVIOUS_ATTEMPTS_HEADER } from './grpc.ts'

const TIMEOUT_BIT = 1 << HEADER_GRPC_TIMEOUT

/** The client's deadline is for the whole call. A number that is none is not believed and not passed on. */
export function readGrpcDeadline(x: Exchange): void {
  const { headers } = x.request
  const text = headers.getById(HEADER_GRPC_TIMEOUT)
  if (text === undefined) return
  headers.removeById(HEADER_GRPC_TIMEOUT)
  const timeoutMs = parseGrpcTimeoutMs(text)
  if (timeoutMs < 0) return
  x.callersDeadlineMs = x.startedMs + timeoutMs
  x.isDeadlineTotal = true
}

/**
 * Tells an endpoint what is left of the client's deadline, and which attempt this is. The gateway's own timeouts are not told: they are
 * for the head of the response, and `grpc-timeout` is for all of it.
 */
export function announceGrpc(x: Exchange, nowMs: number): void {
  const { headers } = x.request
  if (x.tries > 1) {
    headers.removeById(HEADER_GRPC_TIMEOUT)
    headers.set(PREVIOUS_ATTEMPTS_HEADER, String(x.tries - 1 + (x.grpc as GrpcCall).earlierAttempts))
  }
  if (!x.isDeadlineTotal || x.callersDeadlineMs === 0) return
  if (x.attempts > 1) headers.removeById(HEADER_GRPC_TIMEOUT)
  headers.addLines(`grpc-timeout: ${formatGrpcTimeout(x.callersDeadlineMs - nowMs)}\r\n`, TIMEOUT_BIT)
}
