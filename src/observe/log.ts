/** The program's own log, as everything but the composition root sees it. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Facts beside the message. An Error under any key is written with its cause; values under secret-sounding keys are not written. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

/** Writes nothing. For tests, and where nobody configured a log. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
