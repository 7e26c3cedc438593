import fs from 'node:fs'
import { type LogFiles, type LogTarget, openLogTarget, wholeLines } from './log-target.ts'
import type { Counter } from './metrics-types.ts'

/**
 * Writes lines to a file or to stdout without ever making the caller wait. Lines gather in a string and leave together, when
 * they are many or a moment has passed. One write is under way at a time; what comes in meanwhile waits, up to a limit, and is
 * dropped and counted beyond it.
 *
 *   write(line) -> pending text -> chunk being written -> file descriptor
 *                  |                  EAGAIN: tried again after 1 ms, then 2 ms, up to the interval
 *                  full: dropped      any other error: the chunk is dropped
 *
 * Several threads may write to the same file: it is opened for appending, and one chunk is one write of whole lines.
 */
export interface LogWriterOptions {
  /** A file path, or `-` for stdout. */
  path: string
  /** Runs `callback` once after `delayMs`; returns what cancels it. */
  schedule: (callback: () => void, delayMs: number) => () => void
  /** Default 100 ms. */
  flushIntervalMs?: number
  /** Characters that start a write at once. Default 64 Ki. */
  flushLength?: number
  /** Characters that may wait for a slow disk. Default 8 Mi. */
  maxPendingLength?: number
  /** Counts dropped lines, if given. */
  dropped?: Counter
  /** Told once for each series of failures, not for each failure. */
  onError?: (error: Error) => void
  /** Default: node:fs. */
  files?: LogFiles
}

const FIRST_RETRY_MS = 1
const NEWLINE = 0x0a

interface Batch {
  readonly text: string
  readonly lines: number
}

interface Chunk {
  readonly bytes: Uint8Array
  readonly lines: number
  offset: number
}

interface Waiter {
  /** Done when this many lines of all that were ever taken are written or dropped. */
  readonly settledLines: number
  readonly done: () => void
}

/** See the drawing above. Made by whoever owns the path; `close` it before the process ends. */
export class LogWriter {
  readonly #options: LogWriterOptions
  readonly #files: LogFiles
  readonly #flushIntervalMs: number
  readonly #flushLength: number
  readonly #maxPendingLength: number
  #target: LogTarget
  /** Opened by `reopen` while a chunk was on its way to the old one. */
  #nextTarget: LogTarget | null = null
  #text = ''
  #textLines = 0
  /** Full batches that wait for the chunk before them. */
  readonly #batches: Batch[] = []
  /** Characters of everything taken and not yet settled. */
  #pendingLength = 0
  #chunk: Chunk | null = null
  #chunkLength = 0
  #writing = false
  #cancelTimer: (() => void) | null = null
  #retryDelayMs = FIRST_RETRY_MS
  #failing = false
  #closed = false
  #takenLines = 0
  #settledLines = 0
  #droppedLines = 0
  #waiters: Waiter[] = []

  /** Opens the file; throws the error of the operating system when it cannot. */
  constructor(options: LogWriterOptions) {
    this.#options = options
    this.#files = options.files ?? fs
    this.#flushIntervalMs = options.flushIntervalMs ?? 100
    this.#flushLength = options.flushLength ?? 64 * 1024
    this.#maxPendingLength = options.maxPendingLength ?? 8 * 1024 * 1024
    this.#target = openLogTarget(this.#files, options.path)
  }

  /** Lines lost since the start. */
  get droppedLines(): number {
    return this.#droppedLines
  }

  /** Takes one line, without its line break. Never blocks and never throws. */
  write(line: string): void {
    if (this.#closed || this.#pendingLength + line.length >= this.#maxPendingLength) {
      this.#drop(1)
      return
    }
    this.#text += line
    this.#text += '\n'
    this.#textLines += 1
    this.#takenLines += 1
    this.#pendingLength += line.length + 1
    if (this.#text.length >= this.#flushLength) {
      this.#seal()
      if (this.#chunk === null) this.#begin()
    } else if (this.#chunk === null && this.#cancelTimer === null) {
      this.#startTimer()
    }
  }

  /**
   * Waits until the lines taken so far are written or dropped, at most `timeoutMs` (default 2 s). False: some are still
   * waiting.
   */
  flush(timeoutMs = 2000): Promise<boolean> {
    this.#seal()
    if (this.#chunk === null) this.#begin()
    if (this.#settledLines === this.#takenLines) return Promise.resolve(true)
    return new Promise((resolve) => {
      const cancelTimeout = this.#options.schedule(() => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter)
        resolve(false)
      }, timeoutMs)
      const waiter: Waiter = {
        settledLines: this.#takenLines,
        done: () => {
          cancelTimeout()
          resolve(true)
        },
      }
      this.#waiters.push(waiter)
    })
  }

  /** Opens the path anew, after a log rotation has moved the old file away. Throws, and keeps the old file, when it cannot. */
  reopen(): void {
    if (this.#closed || this.#options.path === '-') return
    const fresh = openLogTarget(this.#files, this.#options.path)
    if (this.#nextTarget !== null) this.#closeTarget(this.#nextTarget)
    this.#nextTarget = fresh
    if (this.#chunk === null) this.#useNextTarget()
  }

  /** Flushes, then closes the file. What is left after `timeoutMs` (default 2 s) is dropped; so is what is written later. */
  async close(timeoutMs = 2000): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.flush(timeoutMs)
    this.#stopTimer()
    this.#drop(this.#takenLines - this.#settledLines)
    this.#settledLines = this.#takenLines
    this.#batches.length = 0
    this.#chunk = null
    // A write that still hangs in the system keeps the descriptor until it returns.
    if (!this.#writing) this.#closeTargets()
  }

  readonly #onTimer = (): void => {
    this.#cancelTimer = null
    if (this.#chunk !== null) this.#writeMore(this.#chunk)
    else {
      this.#seal()
      this.#begin()
    }
  }

  #seal(): void {
    if (this.#text === '') return
    this.#batches.push({ text: this.#text, lines: this.#textLines })
    this.#text = ''
    this.#textLines = 0
  }

  /** Starts with the next batch, if there is one. */
  #begin(): void {
    const batch = this.#batches.shift()
    if (batch === undefined) return
    this.#stopTimer()
    this.#chunk = { bytes: Buffer.from(batch.text, 'utf8'), lines: batch.lines, offset: 0 }
    this.#chunkLength = batch.text.length
    this.#writeMore(this.#chunk)
  }

  #writeMore(chunk: Chunk): void {
    const length = wholeLines(chunk.bytes, chunk.offset, this.#target.maxWriteBytes)
    this.#writing = true
    this.#files.write(this.#target.fd, chunk.bytes, chunk.offset, length, (error, written) => {
      this.#writing = false
      // Given up by `close` in the meantime.
      if (this.#chunk !== chunk) this.#closeTargets()
      else if (error !== null) this.#onFailure(chunk, error)
      else this.#onWritten(chunk, written)
    })
  }

  #onWritten(chunk: Chunk, written: number): void {
    this.#failing = false
    this.#retryDelayMs = FIRST_RETRY_MS
    chunk.offset += written
    if (chunk.offset < chunk.bytes.length) this.#writeMore(chunk)
    else this.#end(chunk)
  }

  #onFailure(chunk: Chunk, error: NodeJS.ErrnoException): void {
    if (error.code === 'EAGAIN') {
      // A reader at work empties a pipe within a moment; one that is stuck is not to be asked a thousand times a second.
      this.#startTimer(this.#retryDelayMs)
      this.#retryDelayMs = Math.min(this.#retryDelayMs * 2, this.#flushIntervalMs)
      return
    }
    this.#drop(countLines(chunk))
    if (!this.#failing) this.#options.onError?.(error)
    this.#failing = true
    this.#end(chunk)
  }

  /** The chunk is written, or lost. */
  #end(chunk: Chunk): void {
    this.#chunk = null
    this.#pendingLength -= this.#chunkLength
    this.#settledLines += chunk.lines
    if (this.#nextTarget !== null) this.#useNextTarget()
    this.#wake()
    // A waiter may have written or flushed again.
    if (this.#chunk !== null) return
    this.#begin()
    if (this.#chunk === null && this.#text !== '' && this.#cancelTimer === null) this.#startTimer()
  }

  #wake(): void {
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = waiters.filter((waiter) => waiter.settledLines > this.#settledLines)
    for (const waiter of waiters) if (waiter.settledLines <= this.#settledLines) waiter.done()
  }

  #drop(lines: number): void {
    if (lines === 0) return
    this.#droppedLines += lines
    this.#options.dropped?.add(lines)
  }

  #startTimer(delayMs = this.#flushIntervalMs): void {
    this.#cancelTimer = this.#options.schedule(this.#onTimer, delayMs)
  }

  #stopTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #useNextTarget(): void {
    this.#closeTarget(this.#target)
    this.#target = this.#nextTarget ?? this.#target
    this.#nextTarget = null
  }

  #closeTargets(): void {
    this.#closeTarget(this.#target)
    if (this.#nextTarget !== null) this.#closeTarget(this.#nextTarget)
  }

  #closeTarget(target: LogTarget): void {
    // Nothing can be done about a failure to close a file that only takes appended lines.
    if (target.owned) this.#files.close(target.fd, () => {})
  }
}

/** Lines of the chunk that have not been written to their end. */
function countLines(chunk: Chunk): number {
  if (chunk.offset === 0) return chunk.lines
  let lines = 0
  for (let at = chunk.bytes.indexOf(NEWLINE, chunk.offset); at !== -1; at = chunk.bytes.indexOf(NEWLINE, at + 1)) lines++
  return lines
}
