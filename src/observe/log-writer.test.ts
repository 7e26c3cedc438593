import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import type { LogFiles } from './log-target.ts'
import { LogWriter } from './log-writer.ts'

/** Timers that run when told. */
function createSchedule() {
  const timers: { callback: () => void; delayMs: number }[] = []
  return {
    timers,
    schedule(callback: () => void, delayMs: number): () => void {
      const timer = { callback, delayMs }
      timers.push(timer)
      return () => {
        const index = timers.indexOf(timer)
        if (index !== -1) timers.splice(index, 1)
      }
    },
    /** Fires what waits for this long. */
    fire(delayMs: number): void {
      for (const timer of timers.filter((one) => one.delayMs === delayMs)) {
        timers.splice(timers.indexOf(timer), 1)
        timer.callback()
      }
    },
  }
}

/** A disk that finishes a write when told. */
class FakeFiles implements LogFiles {
  kind: 'file' | 'pipe' | 'socket' = 'file'
  openError: Error | null = null
  opened = 0
  closed: number[] = []
  writes: { fd: number; text: string; finish: (error: Error | null, written?: number) => void }[] = []

  openSync(): number {
    if (this.openError !== null) throw this.openError
    return 10 + this.opened++
  }
  fstatSync() {
    return { isFIFO: () => this.kind === 'pipe', isSocket: () => this.kind === 'socket' }
  }
  write(fd: number, data: Uint8Array, offset: number, length: number, callback: (error: Error | null, written: number) => void): void {
    const text = Buffer.from(data.subarray(offset, offset + length)).toString()
    this.writes.push({ fd, text, finish: (error, written = length) => callback(error, error === null ? written : 0) })
  }
  close(fd: number): void {
    this.closed.push(fd)
  }
  /** The write under way. */
  get last() {
    return this.writes.at(-1)!
  }
}

function create(options: Partial<ConstructorParameters<typeof LogWriter>[0]> = {}) {
  const files = new FakeFiles()
  const clock = createSchedule()
  const errors: Error[] = []
  const counted = {
    total: 0,
    add(amount: number): void {
      counted.total += amount
    },
  }
  const open = () =>
    new LogWriter({ path: '/log', schedule: clock.schedule, files, dropped: counted, onError: (error) => errors.push(error), ...options })
  return { files, clock, errors, counted, open }
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}

describe('log writer', () => {
  it('gathers lines and writes them together after the interval', () => {
    const { files, clock, open } = create()
    const writer = open()
    writer.write('a')
    writer.write('b')
    assert.equal(files.writes.length, 0)
    assert.deepEqual(
      clock.timers.map((timer) => timer.delayMs),
      [100],
    )
    clock.fire(100)
    assert.equal(files.last.text, 'a\nb\n')
    files.last.finish(null)
    assert.equal(clock.timers.length, 0)
    writer.write('c')
    clock.fire(100)
    assert.equal(files.last.text, 'c\n')
  })

  it('writes at once when enough has gathered, one write at a time', () => {
    const { files, clock, open } = create({ flushLength: 10 })
    const writer = open()
    writer.write('123456789')
    assert.deepEqual(
      files.writes.map((one) => one.text),
      ['123456789\n'],
    )
    writer.write('abcdefghi')
    writer.write('x')
    assert.equal(files.writes.length, 1)
    files.last.finish(null)
    assert.equal(files.last.text, 'abcdefghi\n')
    files.last.finish(null)
    clock.fire(100)
    assert.equal(files.last.text, 'x\n')
  })

  it('drops and counts beyond its limit while the disk is slow, and goes on afterwards', () => {
    const { files, counted, open } = create({ flushLength: 10, maxPendingLength: 50 })
    const writer = open()
    for (let i = 0; i < 100; i++) writer.write('123456789')
    assert.equal(files.writes.length, 1)
    assert.equal(writer.droppedLines, 95)
    assert.equal(counted.total, 95)
    for (let i = 0; i < 5; i++) files.last.finish(null)
    assert.equal(files.writes.map((one) => one.text).join(''), '123456789\n'.repeat(5))
    writer.write('123456789')
    assert.equal(files.writes.length, 6)
    assert.equal(writer.droppedLines, 95)
  })

  it('continues a write that was only half done', () => {
    const { files, open } = create({ flushLength: 5 })
    open().write('abcdef')
    files.last.finish(null, 2)
    assert.equal(files.last.text, 'cdef\n')
  })

  it('tries again later when a pipe is full', () => {
    const { files, clock, errors, open } = create({ flushLength: 5 })
    const writer = open()
    writer.write('abcdef')
    files.last.finish(failure('EAGAIN'))
    writer.write('ghijkl')
    assert.equal(files.writes.length, 1)
    for (const delayMs of [1, 2, 4, 8, 16, 32, 64, 100, 100]) {
      assert.deepEqual(
        clock.timers.map((timer) => timer.delayMs),
        [delayMs],
      )
      clock.fire(delayMs)
      assert.equal(files.last.text, 'abcdef\n')
      files.last.finish(failure('EAGAIN'))
    }
    clock.fire(100)
    files.last.finish(null)
    assert.equal(files.last.text, 'ghijkl\n')
    files.last.finish(failure('EAGAIN'))
    clock.fire(1)
    files.last.finish(null)
    assert.deepEqual([errors.length, writer.droppedLines], [0, 0])
  })

  it('drops what cannot be written and tells once for each series of failures', () => {
    const { files, errors, open } = create({ flushLength: 5 })
    const writer = open()
    for (let i = 0; i < 3; i++) writer.write('abcdef')
    files.last.finish(failure('ENOSPC'))
    files.last.finish(failure('ENOSPC'))
    assert.deepEqual([errors.length, writer.droppedLines], [1, 2])
    files.last.finish(null)
    writer.write('abcdef')
    files.last.finish(failure('EIO'))
    assert.deepEqual([errors.length, writer.droppedLines], [2, 3])
  })

  for (const kind of ['pipe', 'socket'] as const) {
    it(`writes to a ${kind} in whole lines of at most 4,096 bytes`, () => {
      const { files, open } = create()
      files.kind = kind
      const writer = open()
      const lines = Array.from({ length: 200 }, (_, i) => `${i} ${'\u00e9'.repeat(60)}`)
      for (const line of lines) writer.write(line)
      writer.write('x'.repeat(5000))
      writer.write('end')
      void writer.flush()
      for (let i = 0; i < 50 && files.last.text !== 'end\n'; i++) files.last.finish(null)
      assert.ok(files.writes.length > 6)
      for (const { text } of files.writes) {
        assert.ok(text.endsWith('\n'))
        assert.ok(Buffer.byteLength(text) <= 4096 || text === `${'x'.repeat(5000)}\n`)
      }
      assert.equal(files.writes.map((one) => one.text).join(''), `${lines.join('\n')}\n${'x'.repeat(5000)}\nend\n`)
    })
  }

  it('flushes what was taken so far without waiting for what comes later', async () => {
    const { files, clock, open } = create()
    const writer = open()
    writer.write('a')
    const flushed = writer.flush()
    writer.write('b')
    files.last.finish(null)
    assert.equal(await flushed, true)
    assert.equal(files.writes.length, 1)
    clock.fire(100)
    assert.equal(files.last.text, 'b\n')
    assert.equal(clock.timers.length, 0)
    files.last.finish(null)
    assert.equal(await writer.flush(), true)
  })

  it('does not wait for a hanging disk longer than allowed', async () => {
    const { files, clock, open } = create()
    const writer = open()
    writer.write('a')
    const flushed = writer.flush(500)
    clock.fire(500)
    assert.equal(await flushed, false)
    const closed = writer.close(700)
    clock.fire(700)
    await closed
    assert.equal(writer.droppedLines, 1)
    assert.deepEqual(files.closed, [])
    files.last.finish(null)
    assert.deepEqual(files.closed, [10])
    writer.write('late')
    assert.equal(writer.droppedLines, 2)
    assert.equal(clock.timers.length, 0)
  })

  it('keeps the descriptor of a write under way when it reopens, and the old file when it cannot', () => {
    const { files, open } = create({ flushLength: 1 })
    const writer = open()
    writer.write('a')
    writer.reopen()
    writer.reopen()
    assert.deepEqual(files.closed, [11])
    files.last.finish(null)
    assert.deepEqual(files.closed, [11, 10])
    writer.write('b')
    assert.equal(files.last.fd, 12)
    files.last.finish(null)
    files.openError = failure('EACCES')
    assert.throws(() => writer.reopen(), /EACCES/)
    writer.write('c')
    assert.equal(files.last.fd, 12)
  })

  it('loses no line through a rotation of a real file with two writers', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-log-'))
    try {
      const file = path.join(folder, 'access.log')
      const schedule = (callback: () => void, delayMs: number) => {
        const timer = setTimeout(callback, delayMs)
        return () => clearTimeout(timer)
      }
      const writers = [0, 1].map(() => new LogWriter({ path: file, schedule, flushLength: 1000, flushIntervalMs: 1 }))
      for (let i = 0; i < 2000; i++) {
        for (const [w, writer] of writers.entries()) writer.write(`${w}:${i}:${'x'.repeat(i % 50)}`)
        if (i % 100 === 0) await new Promise(setImmediate)
        if (i === 1000) {
          fs.renameSync(file, `${file}.1`)
          for (const writer of writers) writer.reopen()
        }
      }
      await Promise.all(writers.map((writer) => writer.close()))
      const all = fs.readFileSync(`${file}.1`, 'utf8') + fs.readFileSync(file, 'utf8')
      const lines = all.split('\n').filter((line) => line !== '')
      assert.equal(lines.length, 4000)
      for (const w of [0, 1]) {
        const own = lines.filter((line) => line.startsWith(`${w}:`))
        assert.deepEqual(
          own,
          Array.from({ length: 2000 }, (_, i) => `${w}:${i}:${'x'.repeat(i % 50)}`),
        )
      }
      assert.equal(fs.statSync(file).mode & 0o007, 0)
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })

  it('throws when the file cannot be opened', () => {
    assert.throws(() => new LogWriter({ path: '/nonexistent/folder/log', schedule: () => () => {} }), /ENOENT/)
  })
})

const CHILD = `
  const { LogWriter } = await import(${JSON.stringify(new URL('./log-writer.ts', import.meta.url).href)})
  const schedule = (callback, delayMs) => { const timer = setTimeout(callback, delayMs); return () => clearTimeout(timer) }
  const writers = Array.from({ length: 6 }, () => new LogWriter({ path: '-', schedule, flushIntervalMs: 5 }))
`

const MANY_LINES = `${CHILD}
  for (let i = 0; i < 3000; i++) {
    for (const [w, writer] of writers.entries()) writer.write(w + ':' + i + ':' + 'x'.repeat(100 + i % 100) + ':end')
    if (i % 200 === 0) await new Promise(setImmediate)
  }
  await Promise.all(writers.map((writer) => writer.close(20000)))
  if (writers.some((writer) => writer.droppedLines > 0)) process.stderr.write('dropped')
`

const STALLED = `${CHILD}
  for (let i = 0; i < 3000; i++) for (const writer of writers) writer.write('x'.repeat(200))
  await new Promise((resolve) => setTimeout(resolve, 200))
  // A use of the thread pool that would wait behind blocked writes.
  const { stat } = await import('node:fs/promises')
  const blocked = new Promise((resolve) => setTimeout(resolve, 1500, 'blocked'))
  process.stderr.write(await Promise.race([stat('/').then(() => 'free'), blocked]))
`

/** Runs code in a Node whose stdout is a pipe to `reader`, or a local socket when that is null. */
function run(code: string, reader: string | null) {
  const args = ['--input-type=module', '-e', code]
  const child =
    reader === null
      ? spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      : spawn('sh', ['-c', `"$0" "$@" | ${reader}`, process.execPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const kill = setTimeout(() => child.kill('SIGKILL'), 10_000)
  child.once('exit', () => clearTimeout(kill))
  return child
}

async function readAll(stream: Readable): Promise<string> {
  let text = ''
  for await (const piece of stream.setEncoding('utf8')) text += piece
  return text
}

describe('log writer on stdout', { skip: process.platform !== 'linux' }, () => {
  for (const [kind, reader] of [
    ['a pipe', 'cat'],
    ['a socket', null],
  ] as const) {
    it(`keeps the lines of several writers whole on ${kind}`, async () => {
      const child = run(MANY_LINES, reader)
      const [output, errors] = await Promise.all([readAll(child.stdout), readAll(child.stderr)])
      assert.equal(errors, '')
      const lines = output.trimEnd().split('\n')
      assert.equal(lines.length, 18_000)
      for (const line of lines) assert.match(line, /^[0-5]:\d+:x+:end$/)
    })
  }

  for (const [kind, reader, prefix] of [
    ['a pipe', 'sleep 4', ''],
    ['a socket that process.stdout has touched', null, 'process.stdout;'],
  ] as const) {
    it(`does not occupy the thread pool while nobody reads ${kind}`, async () => {
      const child = run(prefix + STALLED, reader)
      const [word] = (await once(child.stderr, 'data')) as [Buffer]
      child.kill('SIGKILL')
      child.stdout.destroy()
      child.stderr.destroy()
      assert.equal(String(word), 'free')
    })
  }
})
