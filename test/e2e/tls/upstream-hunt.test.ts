// Files of TLS towards services change while it runs; names that are only sometimes right.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { freePort } from '../../support/port.ts'
import { requirePrograms } from '../../support/programs.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, startTlsUpstream } from './kit.ts'

const { openssl } = requirePrograms(['openssl'])
const authority = new Authority({ after })
const stranger = new Authority({ after }, 'Another CA')
const server = authority.issue('app.test')
const [before, fresh, foreign] = [authority.issue('gateway-1'), authority.issue('gateway-2'), stranger.issue('gateway')]
const routes = { app: { match: { prefix: '/' }, to: 'app' } }

test('the certificate of the gateway and the authorities it believes are read anew', async (t) => {
  const seen: string[] = []
  const upstream = await startTlsUpstream(
    t,
    { cert: server.cert, key: server.key, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      seen.push(String((request.socket as TLSSocket).getPeerCertificate().subject?.CN))
      response.end('secret\n')
    },
  )
  const tls = { ca: 'ca.crt', cert: 'own.crt', key: 'own.key', serverName: 'app.test' }
  const sluice = await startSluice(
    t,
    {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: { app: { endpoints: [upstream.address], tls, retry: null, ejection: null } },
      routes,
    },
    { files: { 'ca.crt': authority.cert, 'own.crt': before.cert, 'own.key': before.key } },
  )
  const install = async (files: Record<string, string>) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(sluice.folder, name), text)
    return (await fetch(`${sluice.adminUrl}/reload`, { method: 'POST' })).status
  }
  const ask = async () => (await fetch(sluice.url)).status
  assert.deepEqual([await ask(), seen.at(-1)], [200, 'gateway-1'])
  assert.equal(await install({ 'own.crt': fresh.cert }), 422, 'one half only')
  assert.deepEqual([await ask(), seen.at(-1)], [200, 'gateway-1'])
  assert.equal(await install({ 'own.key': fresh.key }), 200)
  await waitFor('the new certificate', async () => (await ask()) === 200 && seen.at(-1) === 'gateway-2')
  assert.equal(await install({ 'own.crt': foreign.cert, 'own.key': foreign.key }), 200)
  await waitFor('the endpoint to refuse the foreign one', async () => (await ask()) === 502)
  assert.equal(await install({ 'own.crt': fresh.cert, 'own.key': fresh.key, 'ca.crt': stranger.cert }), 200)
  await waitFor('the endpoint to be believed no longer', async () => (await ask()) === 502)
  assert.equal(await install({ 'ca.crt': authority.cert }), 200)
  await waitFor('everything to be well again', async () => (await ask()) === 200)
  assert.equal(seen.at(-1), 'gateway-2')
})

for (const version of ['-tls1_2', '-tls1_3']) {
  test(`an endpoint that refuses our certificate is named in the log (${version})`, async (t) => {
    const port = await freePort()
    const own = ['-cert', server.certPath, '-key', server.keyPath, '-CAfile', authority.path, '-Verify', '1', '-verify_return_error']
    const child = spawn(openssl, ['s_server', '-accept', `127.0.0.1:${port}`, ...own, version, '-www'], { stdio: ['pipe', 'pipe', 'pipe'] })
    t.after(() => child.kill('SIGKILL'))
    await new Promise((resolve) => child.stdout.once('data', resolve))
    const tls = { ca: authority.path, serverName: 'app.test' }
    const app = { endpoints: [`127.0.0.1:${port}`], retry: null, ejection: null }
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: {
        known: { ...app, tls: { ...tls, cert: fresh.certPath, key: fresh.keyPath } },
        foreign: { ...app, tls: { ...tls, cert: foreign.certPath, key: foreign.keyPath } },
        none: { ...app, tls },
      },
      routes: Object.fromEntries(['known', 'foreign', 'none'].map((name) => [name, { match: { prefix: `/${name}` }, to: name }])),
    })
    assert.equal((await fetch(`${sluice.url}/known`)).status, 200)
    for (const name of ['foreign', 'none']) {
      const response = await fetch(`${sluice.url}/${name}`)
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [502, 'upstream_tls'])
      const isLine = (line: string) => line.includes('TLS with an endpoint failed') && line.includes(`"service":"${name}"`)
      const line = await waitFor('the reason', () => sluice.logs.find(isLine))
      assert.match(line, /certificate|handshake failure/)
    }
  })
}

test('who was refused for its name is refused again, although its session could be resumed', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const upstream = await startTlsUpstream(t, { cert: server.cert, key: server.key, maxVersion })
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: {
        app: { endpoints: [upstream.address], tls: { ca: authority.path, serverName: 'other.test' }, retry: null, ejection: null },
      },
      routes,
    })
    for (let i = 0; i < 5; i++) assert.equal((await fetch(sluice.url)).status, 502)
    assert.equal(upstream.resumed, 0)
    await sluice.stop()
  }
})

test('a service whose certificates are not checked is a warning at the start', async (t) => {
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { app: { endpoints: ['127.0.0.1:1'], tls: { verify: false } } },
    routes,
  })
  await waitFor('the warning', () => sluice.logs.find((line) => line.includes('not checked') && line.includes('"service":"app"')))
})
