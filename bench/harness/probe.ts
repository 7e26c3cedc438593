import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Running } from './processes.ts'

/** How long a program has from its start to its first good answer. */
const READY_MS = 20_000
const REQUEST_MS = 2000

interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** Waits until the program answers 200. Throws with the end of its log when it ends, or when it takes too long. */
export async function waitUntilReady(running: Running, port: number): Promise<void> {
  const deadline = performance.now() + READY_MS
  let last = 'no answer'
  while (performance.now() < deadline) {
    if (!running.alive()) throw new Error(`${running.name} ended while starting: ${running.log()}`)
    try {
      const { status } = await fetchOnce(port, '/r00000/x')
      if (status === 200) return
      last = `status ${status}`
    } catch (error) {
      last = (error as Error).message
    }
    await sleep(50)
  }
  throw new Error(`${running.name} was not ready after ${READY_MS / 1000} s (${last}): ${running.log()}`)
}

/**
 * Checks that a proxy does the work the row claims: the whole body arrives through the first and the last route, and the upstream
 * sees the client's address in X-Forwarded-For.
 */
export async function verifyProxy(running: Running, port: number, routes: number, bodyBytes: number): Promise<void> {
  for (const route of [0, routes - 1]) {
    const path = `/r${String(route).padStart(5, '0')}/x`
    const { status, body } = await fetchOnce(port, path)
    if (status !== 200 || body.length !== bodyBytes) {
      throw new Error(`${running.name}: GET ${path} gave status ${status} and ${body.length} bytes instead of 200 and ${bodyBytes}`)
    }
  }
  const { body } = await fetchOnce(port, '/forwarded-for')
  if (!body.toString().includes('127.0.0.1')) throw new Error(`${running.name} does not add X-Forwarded-For (upstream saw "${body}")`)
}

function fetchOnce(port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false, timeout: REQUEST_MS }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }))
    })
    request.on('timeout', () => request.destroy(new Error('no answer in time')))
    request.on('error', reject)
  })
}
