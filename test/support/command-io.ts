import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandIo, SignalName, TextSink } from '../../src/command/io.ts'
import type { CleanupScope } from './cleanup.ts'

/** A CommandIo that keeps what is written, for commands that run inside the test. */
export interface FakeIo extends CommandIo {
  out(): string
  err(): string
  /** As if the process got the signal. */
  signal(name: SignalName): void
  /** As if nobody had caught the error. */
  uncaught(error: unknown): void
  /** The codes `exit` was called with. */
  exits: number[]
  /** How many handlers are still registered. */
  handlers(): number
}

export interface FakeIoOptions {
  env?: Record<string, string | undefined>
  hasColors?: boolean
}

/** The working folder is `cwd`. */
export function createFakeIo(cwd: string, { env = {}, hasColors = false }: FakeIoOptions = {}): FakeIo {
  const signals = new Map<() => void, SignalName>()
  const uncaught = new Set<(error: unknown) => void>()
  const exits: number[] = []
  const stdout = createSink(hasColors)
  const stderr = createSink(hasColors)
  return {
    stdout,
    stderr,
    env,
    cwd,
    exits,
    onSignal(name, handler) {
      signals.set(handler, name)
      return () => void signals.delete(handler)
    },
    onUncaught(handler) {
      uncaught.add(handler)
      return () => void uncaught.delete(handler)
    },
    exit: (code) => void exits.push(code),
    out: () => stdout.text(),
    err: () => stderr.text(),
    signal(name) {
      for (const [handler, wanted] of [...signals]) if (wanted === name) handler()
    },
    uncaught(error) {
      for (const handler of uncaught) handler(error)
    },
    handlers: () => signals.size + uncaught.size,
  }
}

function createSink(hasColors: boolean): TextSink & { text(): string } {
  let written = ''
  return {
    hasColors,
    write(text) {
      written += text
    },
    text: () => written,
  }
}

/** A temporary folder with these files, removed at the end of the test. */
export function makeFolder(scope: CleanupScope, files: Record<string, string> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-command-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}
