import fs from 'node:fs'

/** Where log lines go, and how much may go there in one write. */
export interface LogTarget {
  readonly fd: number
  /** False for a descriptor that is not ours to close. */
  readonly owned: boolean
  readonly maxWriteBytes: number
}

/** What the writer needs of node:fs. */
export interface LogFiles {
  openSync(path: string, flags: number, mode: number): number
  fstatSync(fd: number): { isFIFO(): boolean; isSocket(): boolean }
  write(fd: number, data: Uint8Array, offset: number, length: number, callback: (error: Error | null, written: number) => void): void
  close(fd: number, callback: (error?: Error | null) => void): void
}

const STDOUT_FD = 1
/** A pipe takes this much whole or not at all, also from several writers (PIPE_BUF of Linux); so does a local socket. */
const PIPE_ATOMIC_BYTES = 4096
/** Log lines name clients and what they ask for: not for every user of the machine. */
const FILE_MODE = 0o640
const NEWLINE = 0x0a

/** Opens a file path for appending, or stdout for `-`. Throws the error of the operating system. */
export function openLogTarget(files: LogFiles, path: string): LogTarget {
  if (path === '-') return openStdout(files)
  const { O_WRONLY, O_APPEND, O_CREAT } = fs.constants
  const fd = files.openSync(path, O_WRONLY | O_APPEND | O_CREAT, FILE_MODE)
  return { fd, owned: true, maxWriteBytes: maxWriteBytes(files, fd) }
}

/**
 * A write to a pipe that nobody empties would occupy a thread of libuv's small pool for as long, and the pool is shared by all
 * workers. So a pipe is opened a second time, non-blocking; where the system does not allow that, descriptor 1 is used as it is.
 * A socket cannot be opened a second time: it is non-blocking when the main thread has touched `process.stdout`.
 */
function openStdout(files: LogFiles): LogTarget {
  if (files.fstatSync(STDOUT_FD).isFIFO()) {
    try {
      const fd = files.openSync('/proc/self/fd/1', fs.constants.O_WRONLY | fs.constants.O_NONBLOCK, FILE_MODE)
      return { fd, owned: true, maxWriteBytes: PIPE_ATOMIC_BYTES }
    } catch {
      // No /proc, or the pipe belongs to another user.
    }
  }
  return { fd: STDOUT_FD, owned: false, maxWriteBytes: maxWriteBytes(files, STDOUT_FD) }
}

function maxWriteBytes(files: LogFiles, fd: number): number {
  const status = files.fstatSync(fd)
  return status.isFIFO() || status.isSocket() ? PIPE_ATOMIC_BYTES : Number.POSITIVE_INFINITY
}

/** How many bytes from `offset` to write: whole lines within the limit, or one line when it alone is longer. */
export function wholeLines(bytes: Uint8Array, offset: number, maxBytes: number): number {
  if (bytes.length - offset <= maxBytes) return bytes.length - offset
  const last = bytes.lastIndexOf(NEWLINE, offset + maxBytes - 1)
  if (last >= offset) return last + 1 - offset
  return bytes.indexOf(NEWLINE, offset) + 1 - offset
}
