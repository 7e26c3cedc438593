import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CleanupScope } from '../../support/cleanup.ts'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'

/** A gateway with nothing but defaults before `address`. */
async function gatewayBefore(t: CleanupScope, address: string): Promise<string> {
  const gateway = await startSluice(t, {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { next: { endpoints: [address] } },
    routes: { all: { to: 'next' } },
  })
  return gateway.url.slice('http://'.length)
}

const REQUESTS = 2000
const AT_ONCE = 20

async function sendThroughThree(t: CleanupScope, bottom: string): Promise<void> {
  const top = await gatewayBefore(t, await gatewayBefore(t, await gatewayBefore(t, bottom)))
  let left = REQUESTS
  const client = async () => {
    while (left-- > 0) await (await fetch(`http://${top}`)).arrayBuffer()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
}

describe('three gateways in a row with a dead service at the bottom, all defaults', () => {
  it('a service that resets sees at most 1.2 times the requests sent at the top', async (t) => {
    let attempts = 0
    const bottom = await startRawUpstream(t, (socket) => {
      socket.on('data', () => {
        attempts++
        socket.resetAndDestroy()
      })
    })
    await sendThroughThree(t, bottom.address)
    t.diagnostic(`${attempts} attempts for ${REQUESTS} requests`)
    assert.ok(attempts >= REQUESTS && attempts <= 1.2 * REQUESTS, `${attempts} attempts for ${REQUESTS} requests`)
  })

  it('so does one that answers 503', async (t) => {
    let attempts = 0
    const bottom = await startUpstream(t, (_, response) => {
      attempts++
      response.writeHead(503).end()
    })
    await sendThroughThree(t, bottom.address)
    t.diagnostic(`${attempts} attempts for ${REQUESTS} requests`)
    assert.ok(attempts >= REQUESTS && attempts <= 1.2 * REQUESTS, `${attempts} attempts for ${REQUESTS} requests`)
  })
})
