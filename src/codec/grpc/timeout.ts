/** `grpc-timeout` (gRPC over HTTP/2, "Timeout"): a whole number of at most 8 digits and a unit. */

/** Longer than this is as good as no limit: 30 days. */
export const MAX_GRPC_TIMEOUT_MS = 30 * 24 * 3600 * 1000

const MAX_NUMBER = 99_999_999
const TIMEOUT = /^(\d{1,8})([HMSmun])$/
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** Milliseconds, fractions included, at most MAX_GRPC_TIMEOUT_MS; -1 for what is no timeout. */
export function parseGrpcTimeoutMs(value: string): number {
  const match = TIMEOUT.exec(value)
  if (match === null) return -1
  return Math.min(Number(match[1]) * (UNIT_MS[match[2] as string] as number), MAX_GRPC_TIMEOUT_MS)
}

/** The same the other way: in the finest unit that fits, rounded down, never 0. */
export function formatGrpcTimeout(timeoutMs: number): string {
  const us = Math.max(1, Math.floor(timeoutMs * 1000))
  if (us <= MAX_NUMBER) return `${us}u`
  const ms = Math.floor(timeoutMs)
  if (ms <= MAX_NUMBER) return `${ms}m`
  return `${Math.min(Math.floor(ms / 1000), MAX_NUMBER)}S`
}
