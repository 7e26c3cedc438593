/**
 * Nanoseconds per match with 10, 1,000 and 10,000 routes: `node bench/micro/route/match.ts`.
 *
 * As in the gateway, host and path are cut out of a head for every match, so no string comes with its hash already known; the cost of
 * the cutting alone is taken off. Every table gets the same number of different requests, whatever its size, so that their memory is
 * the same and only the table differs: `hot` has 256 requests, which keeps what they touch in the first caches, `spread` has 10,000,
 * which with 10,000 routes touches every one of them. Rounds of the three sizes alternate; the median counts.
 */
import { createEntry, exact, prefix, template } from '../../../src/route/routing.contract.ts'
import type { RouteEntry } from '../../../src/route/rule.ts'
import type { RouteTable } from '../../../src/route/table.ts'
import { createRouteTable } from '../../../src/route/table.ts'
import type { MatchInput } from '../../../src/route/types.ts'

const SIZES = [10, 1_000, 10_000]
const REQUESTS = { hot: 256, spread: 10_000 }
const ROUNDS = 9
const MATCHES_PER_ROUND = 400_000

/** A stride without a common factor with any size, so that consecutive requests are for routes far apart. */
const STRIDE = 7_919

interface Scenario {
  name: string
  route(i: number): RouteEntry<string>
  host(i: number): string
  path(i: number, request: number): string
}

/** Numbers of equal length, so that paths have the same length with every table. */
const pad = (i: number) => String(i).padStart(4, '0')

const SINGLE_HOST = 'api.example.com'

const SCENARIOS: Scenario[] = [
  {
    name: 'exact',
    route: (i) => createEntry(`r${i}`, { hosts: [SINGLE_HOST], path: exact(`/api/v1/service-${pad(i)}/list`) }),
    host: () => SINGLE_HOST,
    path: (i) => `/api/v1/service-${pad(i)}/list`,
  },
  {
    name: 'prefix',
    route: (i) => createEntry(`r${i}`, { hosts: [SINGLE_HOST], path: prefix(`/api/v1/service-${pad(i)}`) }),
    host: () => SINGLE_HOST,
    path: (i, request) => `/api/v1/service-${pad(i)}/items/${request}`,
  },
  {
    name: 'template',
    route: (i) => createEntry(`r${i}`, { hosts: [SINGLE_HOST], path: template(`/api/service-${pad(i)}/{id}/posts`) }),
    host: () => SINGLE_HOST,
    path: (i, request) => `/api/service-${pad(i)}/${request}/posts`,
  },
  {
    name: 'hosts',
    route: (i) => createEntry(`r${i}`, { hosts: [i % 5 === 0 ? `*.tenant-${pad(i)}.com` : `tenant-${pad(i)}.com`], path: prefix('/api') }),
    host: (i) => (i % 5 === 0 ? `www.tenant-${pad(i)}.com` : `tenant-${pad(i)}.com`),
    path: (_i, request) => `/api/items/${request}`,
  },
  {
    name: 'mixed',
    route: (i) => SCENARIOS[i % 4]!.route(i),
    host: (i) => SCENARIOS[i % 4]!.host(i),
    path: (i, request) => SCENARIOS[i % 4]!.path(i, request),
  },
]

/** A head, and where host and path stand in it. */
interface Head {
  text: string
  pathEnd: number
  hostStart: number
  hostEnd: number
  expected: string
}

/** One request object for all heads: strings kept by thousands of old objects would be paid for by the garbage collector. */
class CutRequest implements MatchInput {
  host = ''
  readonly method = 'GET'
  path = ''
  readonly query = ''
  readonly clientIp = '192.0.2.1'

  cut(head: Head): this {
    this.path = head.text.slice(4, head.pathEnd)
    this.host = head.text.slice(head.hostStart, head.hostEnd)
    return this
  }

  header(): undefined {
    return undefined
  }
}

function createHead(host: string, path: string, expected: string): Head {
  const text = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: bench\r\n\r\n`
  const hostStart = text.indexOf('Host: ') + 6
  // Through a buffer, as it comes from a socket: one flat string.
  return {
    text: Buffer.from(text, 'latin1').toString('latin1'),
    pathEnd: 4 + path.length,
    hostStart,
    hostEnd: hostStart + host.length,
    expected,
  }
}

function createHeads(scenario: Scenario, size: number, count: number): Head[] {
  return Array.from({ length: count }, (_, request) => {
    const i = (request * STRIDE) % size
    return createHead(scenario.host(i), scenario.path(i, request), `r${i}`)
  })
}

/** Before anything is measured: every request must find its route. */
function assertFound(table: RouteTable<string>, heads: readonly Head[]): void {
  const request = new CutRequest()
  for (const head of heads) {
    const found = table.match(request.cut(head))?.route
    if (found !== head.expected) throw new Error(`${request.host}${request.path}: found ${found}, expected ${head.expected}`)
  }
}

/** Processor time of this process, so that whatever else the machine does counts less. */
function cpuNs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

function timeMatches(table: RouteTable<string>, heads: readonly Head[]): number {
  const request = new CutRequest()
  const started = cpuNs()
  let missed = 0
  for (let i = 0, at = 0; i < MATCHES_PER_ROUND; i++) {
    if (table.match(request.cut(heads[at]!)) === null) missed++
    if (++at === heads.length) at = 0
  }
  const elapsed = cpuNs() - started
  if (missed > 0) throw new Error(`${missed} requests found no route`)
  return elapsed / MATCHES_PER_ROUND
}

function timeCuts(heads: readonly Head[]): number {
  const request = new CutRequest()
  const started = cpuNs()
  let characters = 0
  for (let i = 0, at = 0; i < MATCHES_PER_ROUND; i++) {
    request.cut(heads[at]!)
    characters += request.path.length + request.host.length
    if (++at === heads.length) at = 0
  }
  const elapsed = cpuNs() - started
  if (characters === 0) throw new Error('nothing was cut')
  return elapsed / MATCHES_PER_ROUND
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

function measure(scenario: Scenario, count: number): number[] {
  const subjects = SIZES.map((size) => {
    const table = createRouteTable(Array.from({ length: size }, (_, i) => scenario.route(i)))
    const heads = createHeads(scenario, size, count)
    assertFound(table, heads)
    return { table, heads, figures: [] as number[] }
  })
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { table, heads, figures } of subjects) {
      const figure = timeMatches(table, heads) - timeCuts(heads)
      // The first round is for the compiler.
      if (round > 0) figures.push(figure)
    }
  }
  return subjects.map(({ figures }) => median(figures))
}

console.log(`${'scenario'.padEnd(18)}${SIZES.map((size) => `${size.toLocaleString('en')} routes`.padStart(16)).join('')}      10,000 to 10`)
for (const [spread, count] of Object.entries(REQUESTS)) {
  for (const scenario of SCENARIOS) {
    const figures = measure(scenario, count)
    const ratio = figures.at(-1)! / figures[0]!
    console.log(
      `${`${scenario.name}, ${spread}`.padEnd(18)}${figures.map((figure) => `${figure.toFixed(0)} ns`.padStart(16)).join('')}${`${ratio.toFixed(2)}x`.padStart(18)}`,
    )
  }
}
