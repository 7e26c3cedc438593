import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { CHUNK_NEED_MORE, ChunkedDecoder } from '../../src/codec/http1/chunked.ts'
import { CRASH_FOLDER, fuzz, readCrashes, replay, writeCrash } from './http1.ts'
import { type Codec, checkLinearTime, SLUICE } from './http1-checks.ts'

const nowMs = (): number => performance.now()

/** What this thread has computed: other programs on the machine do not make it longer. */
const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Loses its state where two reads meet. */
class ForgetfulDecoder extends ChunkedDecoder {
  override next(bytes: Uint8Array, end: number): number {
    const event = super.next(bytes, end)
    if (event === CHUNK_NEED_MORE) {
      const { position } = this
      this.reset()
      this.position = position
    }
    return event
  }
}

/** Takes a bare LF for a line end. */
class LaxDecoder extends ChunkedDecoder {
  override next(bytes: Uint8Array, end: number): number {
    const { position } = this
    const event = super.next(bytes, end)
    if (event !== 3 || bytes[position] !== 10) return event
    this.reset()
    this.position = position + 1
    return this.next(bytes, end)
  }
}

/** Looks at a sixteenth of everything it has seen for every byte. */
class SlowDecoder extends ChunkedDecoder {
  #seen = 0
  looks = 0
  override next(bytes: Uint8Array, end: number): number {
    for (let i = this.position; i < end; i++) {
      this.#seen++
      for (let k = 0; k < this.#seen; k += 16) this.looks ^= k
    }
    return super.next(bytes, end)
  }
}

const BROKEN: readonly [string, Partial<Codec>][] = [
  ['a decoder that forgets at a split', { createDecoder: (max) => new ForgetfulDecoder(max) }],
  ['a decoder that takes a bare LF', { createDecoder: (max) => new LaxDecoder(max) }],
  ['a decoder with a limit of its own', { createDecoder: () => new ChunkedDecoder(3) }],
  [
    'a parser that throws',
    { parseRequestHead: (text, head, limits) => (text.includes('\xff') ? JSON.parse('{') : SLUICE.parseRequestHead(text, head, limits)) },
  ],
  [
    'a parser that takes bare LFs',
    { parseRequestHead: (text, head, limits) => SLUICE.parseRequestHead(text.replace(/(?<!\r)\n/g, '\r\n'), head, limits) },
  ],
  [
    'a parser that is off by one',
    { parseResponseHead: (text, head, limits) => Math.max(0, SLUICE.parseResponseHead(text, head, limits) - 1) },
  ],
  [
    'a parser that gives up too early',
    { parseResponseHead: (text, head, limits) => (text.endsWith('\r') ? -1 : SLUICE.parseResponseHead(text, head, limits)) },
  ],
  [
    'a parser that overlooks a Transfer-Encoding',
    {
      parseRequestHead: (text, head, limits) => {
        const result = SLUICE.parseRequestHead(text, head, limits)
        head.chunked = false
        return result
      },
    },
  ],
  ['an encoder that drops a character', { encodeFields: (block) => SLUICE.encodeFields(block).replace('y\r\n', '\r\n') }],
  ['an encoder that lets two lines become one', { encodeFields: (block) => SLUICE.encodeFields(block).replace('\r\n', '\n') }],
]

describe('fuzzing the HTTP/1.1 codec', () => {
  it('finds nothing in three seconds', () => {
    const { inputs, crashes } = fuzz({ seed: 20261121, maxInputs: 1_000_000, maxMs: 3000, nowMs })
    const files = crashes.map((crash) => `${writeCrash(CRASH_FOLDER, crash)}: ${crash.message}`)
    assert.deepEqual(files, [])
    assert.ok(inputs > 1000, `only ${inputs} inputs`)
  })

  it('every input that once broke something holds now', () => {
    const crashes = readCrashes(CRASH_FOLDER)
    assert.ok(crashes.length > 0)
    for (const [name, kind, text] of crashes) assert.equal(replay(kind, text), null, name)
  })

  for (const [name, broken] of BROKEN) {
    it(`would find ${name}`, () => {
      const { crashes } = fuzz({ codec: { ...SLUICE, ...broken }, seed: 1, maxInputs: 50_000, maxMs: 20_000, stopAtCrash: true, nowMs })
      assert.equal(crashes.length, 1)
    })
  }

  it('would find a decoder whose time is quadratic', () => {
    const codec = { ...SLUICE, createDecoder: (max: number) => new SlowDecoder(max) }
    // One lucky measurement acquits, so that a busy machine convicts nobody; a decoder that is slow does not have such luck for ever.
    let found: string | null = null
    for (let i = 0; i < 10 && found === null; i++) found = checkLinearTime(codec, 'chunked', '0\r\n', 'X: y\r\n', cpuMs)
    assert.match(found ?? '', /took/)
  })

  it('reads large inputs of the kinds known to be slow in linear time', () => {
    for (const piece of ['\n', '\r\n', 'X: y\r\n', 'X', ':', ' ', '1\r\na\r\n', '5;a\r\nhello\r\n', '"', '\\']) {
      for (const start of ['', '0\r\n', '0\r\nX:', '5;a="'])
        assert.equal(checkLinearTime(SLUICE, 'chunked', start, piece, cpuMs), null, JSON.stringify(start + piece))
    }
    for (const piece of ['X: y\r\n', 'X:\r\n', 'X', ' ', '\t', ',', 'close,', 'Connection: ,,,,,,\r\n', '\r\n', '\xff']) {
      for (const start of ['', 'GET /', 'GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nX:', 'GET / HTTP/1.1\r\nConnection:']) {
        assert.equal(checkLinearTime(SLUICE, 'request', start, piece, cpuMs), null, JSON.stringify(start + piece))
      }
    }
  })

  it('writes a crash so that it is read back', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-fuzz-'))
    try {
      const text = '5\r\n\0\xff\r\n'
      const file = writeCrash(folder, { kind: 'chunked', text, message: '' })
      assert.deepEqual(readCrashes(folder), [[path.basename(file), 'chunked', text]])
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
})
