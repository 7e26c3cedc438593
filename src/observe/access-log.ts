import { EscapedText, formatDuration, TimeText } from './access-text.ts'
import { escapeText } from './escape.ts'

/**
 * The access log line, compiled once from its format. Strings are '' and durations negative when there is nothing to say; that
 * becomes `-` in text and '' or null in JSON.
 */
export interface AccessEntry {
  /** When the request began, in milliseconds since the Unix epoch. */
  readonly timeMs: number
  readonly listener: string
  /** '' when no route matched. */
  readonly route: string
  readonly service: string
  /** Address of the endpoint that was asked last. */
  readonly endpoint: string
  /** After trusted proxies. */
  readonly clientIp: string
  readonly method: string
  readonly host: string
  readonly path: string
  /** Without the question mark. */
  readonly query: string
  /** As in the request line, e.g. `HTTP/1.1`. */
  readonly protocol: string
  readonly status: number
  /** Body bytes. */
  readonly requestBytes: number
  /** Body bytes. */
  readonly responseBytes: number
  readonly durationMs: number
  /** From the first attempt to the end of the response; -1 when no endpoint was asked. */
  readonly upstreamDurationMs: number
  readonly attempts: number
  readonly requestId: string
  readonly userAgent: string
  readonly referer: string
  /** An ErrorCode, or ''. */
  readonly errorCode: string
  /** The short mark of the error table, or ''. */
  readonly flags: string
  /** The name of the status of a gRPC call; '' or left out for what is none. */
  readonly grpcStatus?: string
}

type Part = (entry: AccessEntry) => string

/** What a template may name: escaped text, `-` when empty. Made anew for each format, because parts remember what they saw last. */
function createFields() {
  const times = new TimeText()
  return {
    /** ISO 8601 in UTC. */
    time: (entry) => times.format(entry.timeMs),
    timeMs: (entry) => String(Math.floor(entry.timeMs)),
    listener: repeatedText((entry) => entry.listener),
    route: repeatedText((entry) => entry.route),
    service: repeatedText((entry) => entry.service),
    endpoint: repeatedText((entry) => entry.endpoint),
    clientIp: repeatedText((entry) => entry.clientIp),
    method: repeatedText((entry) => entry.method),
    host: repeatedText((entry) => entry.host),
    path: (entry) => formatString(entry.path),
    query: (entry) => formatString(entry.query),
    /** Path and query. */
    target: (entry) => formatTarget(entry),
    protocol: repeatedText((entry) => entry.protocol),
    status: (entry) => String(entry.status),
    requestBytes: (entry) => String(entry.requestBytes),
    responseBytes: (entry) => String(entry.responseBytes),
    durationMs: (entry) => formatDuration(entry.durationMs, '-'),
    upstreamDurationMs: (entry) => formatDuration(entry.upstreamDurationMs, '-'),
    attempts: (entry) => String(entry.attempts),
    requestId: (entry) => formatString(entry.requestId),
    userAgent: repeatedText((entry) => entry.userAgent),
    referer: repeatedText((entry) => entry.referer),
    errorCode: repeatedText((entry) => entry.errorCode),
    flags: repeatedText((entry) => entry.flags),
    grpcStatus: (entry) => entry.grpcStatus || '-',
  } as const satisfies Record<string, Part>
}

/** What may stand between `${` and `}` in a template. */
export const ACCESS_LOG_FIELDS: readonly string[] = Object.keys(createFields())

/** The format named `text`: the combined format of web servers, with ours behind it. */
const TEXT_FORMAT =
  '${clientIp} - - [${time}] "${method} ${target} ${protocol}" ${status} ${responseBytes} "${referer}" "${userAgent}" ' +
  '${durationMs}ms upstream=${upstreamDurationMs}ms route=${route} endpoint=${endpoint} flags=${flags} id="${requestId}"'

/**
 * Turns a format into the function that writes one line, without the line break. `json` and `text` are named formats; anything
 * else is a template such as `${method} ${path} ${status}`. Throws an Error that lists the fields when it names an unknown one.
 */
export function compileAccessLog(format: string): (entry: AccessEntry) => string {
  if (format === 'json') {
    const json = new JsonLine()
    return (entry) => json.format(entry)
  }
  const parts = parseTemplate(format === 'text' ? TEXT_FORMAT : format)
  return (entry) => {
    let line = ''
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      line += typeof part === 'string' ? part : part(entry)
    }
    return line
  }
}

function parseTemplate(template: string): (string | Part)[] {
  if (/[\r\n]/.test(template)) throw new Error('an access log format must be one line')
  const fieldParts = createFields()
  const parts: (string | Part)[] = []
  let position = 0
  let fields = 0
  for (const match of template.matchAll(/\$\{([^}]*)(\}?)/g)) {
    const [text, name = '', close] = match
    if (close !== '}') throw new Error(`"${text}" in the access log format has no closing brace`)
    if (!Object.hasOwn(fieldParts, name)) throw new Error(`unknown access log field "${name}"; known are ${ACCESS_LOG_FIELDS.join(', ')}`)
    if (match.index > position) parts.push(template.slice(position, match.index))
    parts.push(fieldParts[name as keyof typeof fieldParts])
    fields += 1
    position = match.index + text.length
  }
  if (fields === 0) throw new Error('an access log format is "json", "text", or a template with at least one field such as ${status}')
  if (position < template.length) parts.push(template.slice(position))
  return parts
}

function repeatedText(read: Part): Part {
  const memory = new EscapedText()
  return (entry) => memory.of(read(entry)) || '-'
}

function formatString(value: string): string {
  return value === '' ? '-' : escapeText(value)
}

function formatTarget(entry: AccessEntry): string {
  if (entry.query === '') return formatString(entry.path)
  return `${escapeText(entry.path)}?${escapeText(entry.query)}`
}

/** The format named `json`. */
class JsonLine {
  readonly #times = new TimeText()
  readonly #listener = new EscapedText()
  readonly #route = new EscapedText()
  readonly #service = new EscapedText()
  readonly #endpoint = new EscapedText()
  readonly #clientIp = new EscapedText()
  readonly #method = new EscapedText()
  readonly #host = new EscapedText()
  readonly #protocol = new EscapedText()
  readonly #userAgent = new EscapedText()
  readonly #referer = new EscapedText()
  readonly #errorCode = new EscapedText()
  readonly #flags = new EscapedText()

  /** One expression: V8 joins it once, when the line is written out. Numbers are finite by contract. */
  format(entry: AccessEntry): string {
    return (
      `{"time":"${this.#times.format(entry.timeMs)}","listener":"${this.#listener.of(entry.listener)}"` +
      `,"route":"${this.#route.of(entry.route)}","service":"${this.#service.of(entry.service)}"` +
      `,"endpoint":"${this.#endpoint.of(entry.endpoint)}","clientIp":"${this.#clientIp.of(entry.clientIp)}"` +
      `,"method":"${this.#method.of(entry.method)}","host":"${this.#host.of(entry.host)}","path":"${escapeText(entry.path)}"` +
      `,"query":"${escapeText(entry.query)}","protocol":"${this.#protocol.of(entry.protocol)}","status":${entry.status}` +
      `,"requestBytes":${entry.requestBytes},"responseBytes":${entry.responseBytes}` +
      `,"durationMs":${formatDuration(entry.durationMs, 'null')}` +
      `,"upstreamDurationMs":${formatDuration(entry.upstreamDurationMs, 'null')},"attempts":${entry.attempts}` +
      `,"requestId":"${escapeText(entry.requestId)}","userAgent":"${this.#userAgent.of(entry.userAgent)}"` +
      `,"referer":"${this.#referer.of(entry.referer)}","errorCode":"${this.#errorCode.of(entry.errorCode)}"` +
      `,"flags":"${this.#flags.of(entry.flags)}"${entry.grpcStatus ? `,"grpcStatus":"${entry.grpcStatus}"` : ''}}`
    )
  }
}
