import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { CHUNKED } from '../../../test/vectors/http1/chunked.ts'
import { INTENDED_DIFFERENCES } from '../../../test/vectors/http1/differences.ts'
import { MUTATION_RULES, mutatedRequest, validRequest } from '../../../test/vectors/http1/generate.ts'
import { differenceBetween, NodeClient, NodeServer, type Outcome, readRequests, readResponse } from '../../../test/vectors/http1/oracle.ts'
import { REQUEST_FIELDS, REQUEST_HOST } from '../../../test/vectors/http1/request-fields.ts'
import { REQUEST_FRAMING } from '../../../test/vectors/http1/request-framing.ts'
import { REQUEST_LINE } from '../../../test/vectors/http1/request-line.ts'
import { RESPONSE } from '../../../test/vectors/http1/response.ts'

interface Case {
  readonly name: string
  readonly bytes: string
}

function cases(group: string, vectors: readonly Case[], prefix = ''): Case[] {
  return vectors.map(({ name, bytes }) => ({ name: `${group}: ${name}`, bytes: prefix + bytes }))
}

const REQUESTS = [
  ...cases('line', REQUEST_LINE),
  ...cases('host', REQUEST_HOST),
  ...cases('fields', REQUEST_FIELDS),
  ...cases('framing', REQUEST_FRAMING),
  ...cases('chunked request', CHUNKED, 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'),
]
const RESPONSES = [
  ...cases('response', RESPONSE),
  ...cases('chunked response', CHUNKED, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
]

const INTENDED = new Map(INTENDED_DIFFERENCES.flatMap(({ kind, vectors }) => vectors.map((name) => [name, kind])))

function checkCase({ name, bytes }: Case, ours: Outcome, theirs: Outcome): void {
  const found = differenceBetween(ours, theirs)
  const intended = INTENDED.get(name) ?? null
  assert.equal(
    found,
    intended,
    `${name}\n${JSON.stringify(bytes.slice(0, 500))}\nSluice ${JSON.stringify(ours)}\nllhttp ${JSON.stringify(theirs)}`,
  )
}

describe('compared with the parser of Node', () => {
  const server = new NodeServer()
  const client = new NodeClient()
  before(async () => {
    await server.start()
    await client.start()
  })
  after(async () => {
    await server.stop()
    await client.stop()
  })

  it('every request vector is read alike, except where a difference is intended', async () => {
    for (const request of REQUESTS) checkCase(request, readRequests(request.bytes), await server.read(request.bytes))
  })

  it('every response vector is read alike, except where a difference is intended', async () => {
    for (const response of RESPONSES) checkCase(response, readResponse(response.bytes), await client.read(response.bytes))
  })

  it('the list of intended differences names each vector once and only vectors that exist', () => {
    const names = new Set([...REQUESTS, ...RESPONSES].map(({ name }) => name))
    const listed = INTENDED_DIFFERENCES.flatMap(({ vectors }) => vectors)
    assert.equal(new Set(listed).size, listed.length)
    for (const name of listed) assert.ok(names.has(name), name)
  })

  it('valid requests of any shape are read alike', async () => {
    await fc.assert(
      fc.asyncProperty(validRequest, async (bytes) => {
        const ours = readRequests(bytes)
        assert.equal(ours.verdict, 'clean')
        const theirs = await server.read(bytes)
        assert.equal(differenceBetween(ours, theirs), null, `Sluice ${JSON.stringify(ours)}\nllhttp ${JSON.stringify(theirs)}`)
      }),
      { numRuns: 300, seed: 7 },
    )
  })

  it('damaged requests are read alike, or Sluice is stricter for a known reason', async () => {
    let alike = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(mutatedRequest, async (bytes) => {
        const ours = readRequests(bytes)
        const theirs = await server.read(bytes)
        const found = differenceBetween(ours, theirs)
        if (found === null) alike++
        if (ours.verdict === 'error') refused++
        if (found === null || MUTATION_RULES.some((rule) => rule.kind === found && rule.applies(bytes, theirs))) return
        assert.fail(`${found}\nSluice ${JSON.stringify(ours)}\nllhttp ${JSON.stringify(theirs)}`)
      }),
      { numRuns: 1500, seed: 11 },
    )
    assert.ok(alike > 500, `${alike} of 1500 were alike`)
    assert.ok(refused > 200, `${refused} of 1500 were refused: the mutations do damage`)
  })

  it('the comparison can fail: each kind of difference is told', () => {
    const message = {
      start: ['GET', '/'] as const,
      minor: 1,
      fields: [['Host', 'a'] as [string, string]],
      body: '',
      trailers: [],
      complete: true,
    }
    const clean: Outcome = { messages: [message], verdict: 'clean' }
    assert.equal(differenceBetween(clean, { messages: [{ ...message }], verdict: 'clean' }), null)
    assert.equal(differenceBetween({ messages: [], verdict: 'error' }, clean), 'only Sluice refuses')
    assert.equal(differenceBetween(clean, { messages: [], verdict: 'error' }), 'only llhttp refuses')
    assert.equal(differenceBetween({ messages: [], verdict: 'incomplete' }, clean), 'only Sluice waits')
    assert.equal(differenceBetween(clean, { messages: [], verdict: 'incomplete' }), 'only llhttp waits')
    assert.equal(differenceBetween({ messages: [], verdict: 'error' }, { messages: [message], verdict: 'error' }), null, 'refused earlier')
    assert.equal(
      differenceBetween({ messages: [message], verdict: 'error' }, { messages: [], verdict: 'error' }),
      'read differently',
      'refused later',
    )
    for (const change of [
      { start: ['GET', '/x'] as const },
      { minor: 0 },
      { fields: [] },
      { body: 'x' },
      { trailers: [['a', 'b'] as [string, string]] },
      { complete: false },
    ]) {
      assert.equal(
        differenceBetween(clean, { messages: [{ ...message, ...change }], verdict: 'clean' }),
        'read differently',
        JSON.stringify(change),
      )
    }
  })
})
