/** gRPC-Web ("Protocol differences vs gRPC over HTTP2"): trailers as the last frame of the body. */

const TRAILERS_FLAG = 0x80

/** The frame for a trailer section (field lines, each with CRLF), names in lower case as the protocol asks. */
export function encodeTrailerFrame(lines: string): Buffer {
  let text = ''
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at)
    if (end === -1) break
    const colon = lines.indexOf(':', at)
    if (colon > at && colon < end) text += `${lines.slice(at, colon).toLowerCase()}:${lines.slice(colon + 1, end).trim()}\r\n`
    at = end + 2
  }
  const frame = Buffer.allocUnsafe(5 + text.length)
  frame[0] = TRAILERS_FLAG
  frame.writeUInt32BE(text.length, 1)
  frame.write(text, 5, 'latin1')
  return frame
}
