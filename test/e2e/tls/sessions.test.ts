// A session that one worker began is resumed by any.
import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import type { SecureVersion } from 'node:tls'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, ask, connect, GET, metric } from './kit.ts'

const authority = new Authority({ after })
const issued = authority.issue('a.test')
const client = authority.issue('client')
const certificates = [{ cert: issued.certPath, key: issued.keyPath }]
const routes = { hello: { match: { prefix: '/' }, respond: { status: 200, body: 'hi\n' } } }
/** Two workers share the connections by chance: with so many, a session that only its own worker knows would be seen. */
const CONNECTIONS = 24

/** A session, and what became of it on so many connections. */
async function resumeAt(t: TestContext, from: number, to: number, version: SecureVersion, options = {}): Promise<boolean[]> {
  const one = await connect(t, from, { minVersion: version, maxVersion: version, servername: 'a.test', ...options })
  const session = new Promise<Buffer>((resolve) => one.socket.once('session', resolve))
  assert.match(await ask(one.socket, GET), /^HTTP\/1\.1 200/)
  const kept = version === 'TLSv1.3' ? await session : (one.socket.getSession() as Buffer)
  one.socket.destroy()
  const results: boolean[] = []
  for (let i = 0; i < CONNECTIONS; i++) {
    const next = { minVersion: version, maxVersion: version, servername: 'a.test', session: kept, ...options }
    const { resumed, socket } = await connect(t, to, next)
    results.push(resumed)
    assert.match(await ask(socket, GET), /^HTTP\/1\.1 200/)
    socket.destroy()
  }
  return results
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: every worker resumes the session of another`, async (t) => {
    const sluice = await startSluice(t, { workers: 2, listeners: { web: { address: '127.0.0.1:0', tls: { certificates } } }, routes })
    const resumed = await resumeAt(t, sluice.port(), sluice.port(), version)
    assert.deepEqual(resumed, Array(CONNECTIONS).fill(true))
    // A series that is new in a worker becomes known a moment later.
    const counted = () => metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { resumed: 'true', version })
    await waitFor('the count', async () => (await counted()) === CONNECTIONS)
  })

  test(`${version}: without a lifetime nothing is resumed`, async (t) => {
    const sluice = await startSluice(t, {
      listeners: { web: { address: '127.0.0.1:0', tls: { certificates, sessionLifetime: 0 } } },
      routes,
    })
    const first = await connect(t, sluice.port(), { minVersion: version, maxVersion: version })
    await ask(first.socket, GET)
    const { resumed } = await connect(t, sluice.port(), {
      minVersion: version,
      maxVersion: version,
      session: first.socket.getSession() as Buffer,
    })
    assert.equal(resumed, false)
  })

  test(`${version}: a session of one listener opens no other`, async (t) => {
    const sluice = await startSluice(t, {
      listeners: {
        open: { address: '127.0.0.1:0', tls: { certificates } },
        closed: { address: '127.0.0.1:0', tls: { certificates, clientAuth: { ca: authority.path, mode: 'optional' } } },
      },
      routes,
    })
    const resumed = await resumeAt(t, sluice.port('open'), sluice.port('closed'), version, { cert: client.cert, key: client.key })
    assert.deepEqual(resumed, Array(CONNECTIONS).fill(false))
  })
}
