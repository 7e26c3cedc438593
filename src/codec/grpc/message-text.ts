const ENCODER = new TextEncoder()
const SPACE = 32
const TILDE = 126
const PERCENT = 37
const PLAIN = /^[ -$&-~]*$/

/** The value of a `grpc-message` field: UTF-8, percent-encoded but for visible ASCII and spaces. */
export function encodeGrpcMessage(text: string): string {
  if (PLAIN.test(text)) return text.trim()
  let out = ''
  for (const byte of ENCODER.encode(text.toWellFormed().trim())) {
    if (byte >= SPACE && byte <= TILDE && byte !== PERCENT) out += String.fromCharCode(byte)
    else out += `%${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`
  }
  return out
}

/** The text of a `grpc-message`. What is not well encoded stays as it is, as the protocol asks; never throws. */
export function decodeGrpcMessage(value: string): string {
  if (!value.includes('%')) return value
  const bytes: number[] = []
  for (let i = 0; i < value.length; i++) {
    const hex = value[i] === '%' ? /^[0-9A-Fa-f]{2}$/.exec(value.slice(i + 1, i + 3)) : null
    if (hex === null) {
      bytes.push(value.charCodeAt(i) & 0xff)
    } else {
      bytes.push(Number.parseInt(hex[0], 16))
      i += 2
    }
  }
  return Buffer.from(bytes).toString('utf8')
}
