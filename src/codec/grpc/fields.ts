const GRPC_TYPE = 'application/grpc'
const PLUS = 43
const SEMICOLON = 59
const SPACE = 32

/** Whether a Content-Type is gRPC's: `application/grpc`, `application/grpc+proto` and the like, but not `application/grpc-web`. */
export function isGrpcContentType(value: string | undefined): boolean {
  if (value === undefined) return false
  const { length } = GRPC_TYPE
  if (!value.startsWith(GRPC_TYPE) && value.slice(0, length).toLowerCase() !== GRPC_TYPE) return false
  if (value.length === length) return true
  const next = value.charCodeAt(length)
  return next === PLUS || next === SEMICOLON || next === SPACE
}

/** The value of a field in a trailer section (field lines, each with CRLF); undefined when it is not there. `name` in lower case. */
export function findTrailer(lines: string, name: string): string | undefined {
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at)
    if (end === -1) return undefined
    if (lines.charCodeAt(at + name.length) === 58 && lines.slice(at, at + name.length).toLowerCase() === name) {
      return lines.slice(at + name.length + 1, end).trim()
    }
    at = end + 2
  }
  return undefined
}
