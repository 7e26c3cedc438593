/** Everything a command takes from the process it runs in, so that tests run commands in theirs. main.ts makes the real one. */
export interface CommandIo {
  readonly stdout: TextSink
  readonly stderr: TextSink
  readonly env: Readonly<Record<string, string | undefined>>
  /** The working folder, absolute. */
  readonly cwd: string
  /** Calls back each time the process gets the signal. The answer takes the handler away again. */
  onSignal(name: SignalName, handler: () => void): () => void
  /** Calls back for what nobody caught, which then does not end the process. The answer takes the handler away again. */
  onUncaught(handler: (error: unknown) => void): () => void
  /** Ends the process at once. */
  exit(code: number): void
}

export interface TextSink {
  write(text: string): void
  /** Whether colours may be written: a terminal, and NO_COLOR is not set (https://no-color.org). */
  readonly hasColors: boolean
}

export type SignalName = 'SIGHUP' | 'SIGINT' | 'SIGTERM' | 'SIGUSR1'

/** What the shell sees. */
export const EXIT_OK = 0
/** The configuration is invalid, or what was asked for failed. */
export const EXIT_FAILURE = 1
/** The command line itself is wrong. */
export const EXIT_USAGE = 2

const COLORS = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33' }

/** The text in a colour, where the sink takes colours. */
export function paint(sink: TextSink, color: keyof typeof COLORS, text: string): string {
  return sink.hasColors ? `\u001b[${COLORS[color]}m${text}\u001b[0m` : text
}
