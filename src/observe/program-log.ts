import { pino } from 'pino'
import { escapeText } from './escape.ts'
import type { Log, LogFields, LogLevel } from './log.ts'
import { redactSecrets, redactText } from './redact.ts'

/** The program's own log, over pino. Nothing else imports pino. */
export interface ProgramLogOptions {
  level: LogLevel
  format: 'json' | 'text'
  /** Takes one finished line with its line break. */
  write: (line: string) => void
  /** Milliseconds since the Unix epoch. */
  wallClock: () => number
  /** Colour levels in `text`; the caller decides by terminal and NO_COLOR. Default false. */
  color?: boolean
}

const COLORS: Readonly<Record<string, string>> = { debug: '\u001b[2m', info: '\u001b[32m', warn: '\u001b[33m', error: '\u001b[31m' }
const COLOR_END = '\u001b[0m'
/** Keys of pino's own; a field of that name gets an underscore, because a key must not stand twice in one JSON object. */
const RESERVED = new Set(['level', 'time', 'message'])

/** JSON lines are `{"level":"info","time":"2026-01-02T03:04:05.678Z","message":"...", ...fields}`. */
export function createProgramLog(options: ProgramLogOptions): Log {
  const { write, format, color = false } = options
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date(options.wallClock()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      // redactSecrets has already turned errors into plain data.
      serializers: {},
    },
    { write: (line: string) => write(format === 'json' ? line : formatTextLine(line, color)) },
  )
  return {
    debug(message, fields) {
      if (logger.isLevelEnabled('debug')) logger.debug(prepare(fields), redactText(message))
    },
    info(message, fields) {
      if (logger.isLevelEnabled('info')) logger.info(prepare(fields), redactText(message))
    },
    warn(message, fields) {
      if (logger.isLevelEnabled('warn')) logger.warn(prepare(fields), redactText(message))
    },
    error(message, fields) {
      if (logger.isLevelEnabled('error')) logger.error(prepare(fields), redactText(message))
    },
  }
}

function prepare(fields: LogFields | undefined): Record<string, unknown> {
  if (fields === undefined) return {}
  const plain = redactSecrets(fields) as Record<string, unknown>
  return Object.fromEntries(Object.entries(plain).map(([key, value]) => [RESERVED.has(key) ? `${key}_` : key, value]))
}

/** `03:04:05.678Z info  message  key=value`; the stack of an error follows, indented, on lines of its own. */
function formatTextLine(json: string, color: boolean): string {
  const { level, time, message, ...fields } = JSON.parse(json) as Record<string, unknown>
  const name = String(level).padEnd(5)
  const shown = color ? `${COLORS[String(level)] ?? ''}${name}${COLOR_END}` : name
  let line = `${String(time).slice(11)} ${shown} ${escapeMessage(String(message))}`
  let stacks = ''
  for (const [key, value] of Object.entries(fields)) {
    const stack = stackOf(value)
    line += ` ${escapeText(key)}=${formatTextValue(value)}`
    if (stack !== null && level === 'error') stacks += stack
  }
  return `${line}\n${stacks}`
}

/** Quotes are no danger in a message; line breaks and control characters are. */
function escapeMessage(message: string): string {
  return escapeText(message).replaceAll('\\"', '"').replaceAll('\\\\', '\\')
}

function formatTextValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w.:/@%+-]+$/.test(value) ? value : `"${escapeText(value)}"`
  if (isPlainError(value)) return `"${escapeText(value.message)}"`
  return escapeControl(JSON.stringify(value))
}

/** JSON.stringify leaves characters above 0x7e as they are. */
function escapeControl(json: string): string {
  return json.replaceAll(/[\u007f-\u009f\u2028\u2029]/g, (unit) => escapeText(unit))
}

function isPlainError(value: unknown): value is { message: string; stack: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'stack' in value &&
    typeof value.stack === 'string' &&
    'message' in value &&
    typeof value.message === 'string'
  )
}

function stackOf(value: unknown): string | null {
  if (!isPlainError(value)) return null
  const frames = value.stack.split('\n').filter((line) => line.trimStart().startsWith('at '))
  return frames.map((frame) => `    ${escapeMessage(frame.trim())}\n`).join('')
}
