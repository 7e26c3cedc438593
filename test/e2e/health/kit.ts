// What the tests of active health checks share.
import assert from 'node:assert/strict'
import http from 'node:http'
import type { EndpointInfo, ServiceInfo } from '../../../src/admin/services.ts'
import type { SluiceProcess } from '../../support/sluice.ts'

export const INTERVAL_MS = 500
export const DOWN_INTERVAL_MS = 200
export const TIMEOUT_MS = 400
/** Room for a busy machine, where a test waits for something to happen. */
export const SLACK_MS = 2500

/** The fastest checks that still tell a slow answer from none. */
export const HEALTH = { http: '/healthz', interval: `${INTERVAL_MS}ms`, downInterval: `${DOWN_INTERVAL_MS}ms`, timeout: `${TIMEOUT_MS}ms` }

/** A gateway with one service, without passive ejection: what happens is done by active checks alone. */
export function configuration(addresses: readonly string[], service: object = {}, rest: object = {}): object {
  return {
    workers: 4,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints: addresses, health: HEALTH, ejection: null, ...service } },
    routes: { all: { to: 'up' } },
    ...rest,
  }
}

export async function services(sluice: SluiceProcess): Promise<ServiceInfo[]> {
  const response = await fetch(`${sluice.adminUrl}/services`)
  assert.equal(response.status, 200)
  return ((await response.json()) as { services: ServiceInfo[] }).services
}

export async function endpoint(sluice: SluiceProcess, address: string): Promise<EndpointInfo> {
  const found = (await services(sluice)).flatMap((service) => service.endpoints).find((one) => one.address === address)
  assert(found !== undefined, `no endpoint ${address}`)
  return found
}

export async function stateOf(sluice: SluiceProcess, address: string): Promise<string | undefined> {
  return (await endpoint(sluice, address)).health?.state
}

/** One request on a connection of its own, so that the kernel chooses the worker anew. Resolves to the status. */
export function requestOnce(sluice: SluiceProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.get(sluice.url, { agent: false }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    request.on('error', reject)
  })
}

/** How often each status came in this many requests, eight at a time, over all workers. */
export async function requestMany(sluice: SluiceProcess, count: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  let left = count
  const run = async (): Promise<void> => {
    while (left > 0) {
      left--
      const status = await requestOnce(sluice)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 8 }, run))
  return statuses
}

export function linesWith(sluice: SluiceProcess, text: string): string[] {
  return sluice.logs.filter((line) => line.includes(text))
}
