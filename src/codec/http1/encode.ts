import {
  FIELD_ID,
  FIELD_NAME_END,
  FIELD_NAME_START,
  FIELD_NEXT,
  FIELD_SIZE,
  FIELD_VALUE_END,
  FIELD_VALUE_START,
  HEADER_REMOVED,
  type HeaderBlock,
} from '../header-block.ts'

/**
 * The remaining fields of a block as field lines. Neighbouring lines that arrived in the canonical form `Name: value CRLF` leave
 * in one slice of the text they came in; others are written anew.
 */
export function encodeFields(block: HeaderBlock): string {
  const { fields, used, text, extra } = block
  let out = ''
  let runStart = -1
  let runEnd = -1
  for (let i = 0; i < used; i += FIELD_SIZE) {
    if (fields[i + FIELD_ID] === HEADER_REMOVED) continue
    const nameStart = fields[i + FIELD_NAME_START] as number
    const nameEnd = fields[i + FIELD_NAME_END] as number
    const valueStart = fields[i + FIELD_VALUE_START] as number
    const valueEnd = fields[i + FIELD_VALUE_END] as number
    const next = fields[i + FIELD_NEXT] as number
    if (valueStart - nameEnd === 2 && next - valueEnd === 2 && text.charCodeAt(nameEnd + 1) === 32) {
      if (runEnd === nameStart) {
        runEnd = next
        continue
      }
      if (runStart !== -1) out += text.slice(runStart, runEnd)
      runStart = nameStart
      runEnd = next
    } else {
      if (runStart !== -1) out += text.slice(runStart, runEnd)
      runStart = -1
      runEnd = -1
      out += `${text.slice(nameStart, nameEnd)}: ${text.slice(valueStart, valueEnd)}\r\n`
    }
  }
  if (runStart !== -1) out += text.slice(runStart, runEnd)
  if (extra !== null) {
    for (let i = 0; i < extra.length; i += 2) out += `${extra[i]}: ${extra[i + 1]}\r\n`
  }
  return block.tailSeen === 0 ? out : out + block.fixed + block.tail
}

/** Reason phrases of RFC 9110 and the registry; '' for a status without one. */
export const REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  207: 'Multi-Status',
  208: 'Already Reported',
  226: 'IM Used',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  305: 'Use Proxy',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  506: 'Variant Also Negotiates',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
  510: 'Not Extended',
  511: 'Network Authentication Required',
}

/** Ready-made start lines, so that a response head begins with a constant. */
const STATUS_LINES: string[] = []
for (let status = 0; status < 1000; status++) STATUS_LINES.push(`HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n`)

/** `HTTP/1.1 200 OK CRLF`; a reason of the upstream's own is kept when it differs. */
export function statusLine(status: number, reason: string): string {
  if (reason === '' || reason === REASONS[status]) return STATUS_LINES[status] as string
  return `HTTP/1.1 ${status} ${reason}\r\n`
}
