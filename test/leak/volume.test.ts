// 1 GiB in each direction: every byte arrives, and memory stays flat. Slow readers and writers hold it flat too.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import http from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytes } from '../e2e/operations/support/process-state.ts'
import { type SluiceProcess, startSluice } from '../support/sluice.ts'
import { startUpstream } from '../support/upstream.ts'

const MIB = 1024 * 1024
const TOTAL = Number(process.env['SLUICE_TEST_VOLUME_MIB'] ?? 1024) * MIB

/** Bytes that do not repeat at any power of two, so that a piece that is lost, doubled or out of place changes the sum. */
const PATTERN = Buffer.from(Array.from({ length: 1_000_003 }, (_, i) => (i * 2_654_435_761) >>> 24))

function sourceDigest(total: number): string {
  const hash = createHash('md5')
  for (let at = 0; at < total; at += PATTERN.length) hash.update(PATTERN.subarray(0, Math.min(PATTERN.length, total - at)))
  return hash.digest('hex')
}

/** Writes the pattern to a stream as fast as it takes it. */
async function pour(into: NodeJS.WritableStream & { destroyed?: boolean }, total: number): Promise<void> {
  for (let at = 0; at < total; at += PATTERN.length) {
    if (into.destroyed === true) return
    if (!into.write(PATTERN.subarray(0, Math.min(PATTERN.length, total - at)))) {
      await new Promise<void>((resolve) => {
        const go = () => {
          into.off('drain', go)
          into.off('close', go)
          resolve()
        }
        into.on('drain', go)
        into.on('close', go)
      })
    }
  }
  into.end()
}

/** The highest memory of a process while `work` runs. */
async function peakDuring(sluice: SluiceProcess, work: Promise<unknown>): Promise<number> {
  let peak = 0
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  while (!isDone) {
    peak = Math.max(peak, residentBytes(sluice.pid))
    await Promise.race([sleep(100), done])
  }
  await done
  return peak
}

const config = (address: string) => ({
  workers: 1,
  listeners: { web: { address: '127.0.0.1:0', limits: { body: '4GiB' } } },
  services: { up: { endpoints: [address] } },
  routes: { a: { to: 'up' } },
})

for (const framing of ['length', 'chunked'] as const) {
  test(`1 GiB down and 1 GiB up (${framing}) arrive whole through flat memory`, { timeout: 300_000 }, async (t) => {
    const expected = sourceDigest(TOTAL)
    let uploaded = ''
    const upstream = await startUpstream(t, (request, response) => {
      if (request.method === 'GET') {
        if (framing === 'length') response.setHeader('content-length', TOTAL)
        void pour(response, TOTAL)
        return
      }
      const hash = createHash('md5')
      request.on('data', (data: Buffer) => hash.update(data))
      request.on('end', () => {
        uploaded = hash.digest('hex')
        response.end('thanks')
      })
    })
    const sluice = await startSluice(t, config(upstream.address))
    const before = residentBytes(sluice.pid)
    const startMs = performance.now()
    const down = new Promise<string>((resolve, reject) => {
      http.get(sluice.url, { agent: false }, (response) => {
        const hash = createHash('md5')
        response.on('data', (data: Buffer) => hash.update(data))
        response.on('end', () => resolve(hash.digest('hex')))
        response.on('error', reject)
      })
    })
    const peakDown = await peakDuring(sluice, down)
    assert.equal(await down, expected)
    const downMs = performance.now()
    const up = new Promise<number>((resolve, reject) => {
      const headers = framing === 'length' ? { 'content-length': TOTAL } : { 'transfer-encoding': 'chunked' }
      const request = http.request(sluice.url, { agent: false, method: 'POST', headers }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
      request.on('error', reject)
      void pour(request, TOTAL)
    })
    const peakUp = await peakDuring(sluice, up)
    assert.equal(await up, 200)
    assert.equal(uploaded, expected)
    const seconds = [downMs - startMs, performance.now() - downMs].map((ms) => (ms / 1000).toFixed(1))
    t.diagnostic(
      `down ${seconds[0]} s, up ${seconds[1]} s; ${[before, peakDown, peakUp].map((bytes) => Math.round(bytes / MIB)).join(' -> ')} MiB`,
    )
    assert(Math.max(peakDown, peakUp) < before + 64 * MIB)
  })
}

test('a client that does not read and a service that does not read hold up the other side, not memory', { timeout: 120_000 }, async (t) => {
  let poured = 0
  const upstream = await startUpstream(t, (request, response) => {
    if (request.method === 'POST') return
    const write = () => {
      while (poured < 512 * MIB) {
        poured += PATTERN.length
        if (!response.write(PATTERN)) return
      }
    }
    response.on('drain', write)
    write()
  })
  const sluice = await startSluice(t, config(upstream.address))
  const before = residentBytes(sluice.pid)
  const readers = Array.from({ length: 10 }, () => http.get(sluice.url, { agent: false }, (response) => response.pause()))
  const writers = Array.from({ length: 10 }, () => {
    const request = http.request(sluice.url, { agent: false, method: 'POST', headers: { 'content-length': 1024 * MIB } })
    void pour(request, 1024 * MIB)
    return request
  })
  for (const request of [...readers, ...writers]) request.on('error', () => {})
  await sleep(2000)
  const after = residentBytes(sluice.pid)
  t.diagnostic(
    `${Math.round(before / MIB)} -> ${Math.round(after / MIB)} MiB with 20 stalled transfers, ${Math.round(poured / MIB)} MiB taken from the services`,
  )
  assert(after < before + 64 * MIB)
  for (const request of [...readers, ...writers]) request.destroy()
})
