// TLS on the admin listener: who reaches it, the commands that ask it, and new certificates without a restart.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { runCommandLine } from '../../../src/command/commands.ts'
import { createFakeIo } from '../../support/command-io.ts'
import { freePort } from '../../support/port.ts'
import { rawRequest } from '../../support/raw.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, connect } from './kit.ts'

const authority = new Authority({ after })
const other = new Authority({ after }, 'Other CA')
const old = authority.issue('admin.test')
const fresh = authority.issue('fresh.test')
const second = authority.issue('second.test')
const client = authority.issue('operator')
const stranger = other.issue('operator')

const TOKEN = 'a-token-of-some-length'
const FILES = {
  'tls.crt': old.cert,
  'tls.key': old.key,
  'second.crt': second.cert,
  'second.key': second.key,
  'ca.crt': authority.cert,
  'client.crt': client.cert,
  'client.key': client.key,
  'stranger.crt': stranger.cert,
  'stranger.key': stranger.key,
}
/** 127.0.0.1, in a form that is not taken for loopback: nothing leaves the interface, and the commands treat it as another machine's. */
const LIKE_ELSEWHERE = '[::ffff:7f00:1]'
const CERTIFICATES = [
  { cert: 'tls.crt', key: 'tls.key' },
  { cert: 'second.crt', key: 'second.key' },
]

async function configWith(admin: object) {
  return {
    workers: 1,
    admin: { address: `127.0.0.1:${await freePort()}`, tls: { certificates: CERTIFICATES }, ...admin },
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { users: { endpoints: ['127.0.0.1:1'] } },
    routes: { users: { match: { prefix: '/' }, to: 'users' } },
  }
}

const portOf = (config: { admin: { address: string } }) => Number(config.admin.address.split(':')[1])

function get(port: number, path: string, options: https.RequestOptions = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = https.get({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false, ...options }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        body += piece
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    request.on('error', reject)
  })
}

/** A command in the folder of the gateway. */
async function command(sluice: SluiceProcess, ...args: string[]) {
  const io = createFakeIo(sluice.folder)
  const code = await runCommandLine(args, io)
  return { code, stdout: io.out(), stderr: io.err() }
}

const nameAt = async (t: TestContext, port: number, servername?: string) => {
  const { commonName, socket } = await connect(t, port, servername === undefined ? {} : { servername })
  socket.destroy()
  return commonName
}

test('the admin listener speaks TLS, with a certificate by name, and nothing without', async (t) => {
  const config = await configWith({ token: TOKEN })
  const sluice = await startSluice(t, config, { files: FILES })
  const port = portOf(config)
  assert.deepEqual(await get(port, '/healthz', { ca: authority.cert, rejectUnauthorized: true, servername: 'admin.test' }), {
    status: 200,
    body: 'ok\n',
  })
  assert.equal(await nameAt(t, port, 'SECOND.test'), 'second.test')
  assert.equal(await nameAt(t, port), 'admin.test')
  assert.equal((await get(port, '/metrics')).status, 401, 'the token is asked for as before')
  const headers = { authorization: `Bearer ${TOKEN}` }
  assert.match((await get(port, '/metrics', { headers })).body, /certificate_expiry_timestamp_seconds\{[^}]*listener="admin"/)
  assert.doesNotMatch((await get(port, '/config', { headers })).body, /PRIVATE/)
  const plain = await rawRequest(port, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  assert.deepEqual([plain.text, plain.ended], ['', 'closed'])
  await assert.rejects(connect(t, port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }))
  assert.equal((await get(port, '/healthz')).status, 200, 'and it goes on')
  await sluice.stop()
})

test('reload and explain ask it, also when the certificate has been replaced, and a broken one changes nothing', async (t) => {
  const config = await configWith({ token: TOKEN })
  const sluice = await startSluice(t, config, { files: FILES })
  const port = portOf(config)
  const unchanged = await command(sluice, 'reload')
  assert.deepEqual([unchanged.code, unchanged.stdout], [0, 'reloaded: nothing has changed\n'])
  const explained = await command(sluice, 'explain', '--live', 'GET', 'http://localhost/')
  assert.match(explained.stdout, /127\.0\.0\.1:1/)
  assert.doesNotMatch(explained.stdout, /not running/)

  writeFileSync(join(sluice.folder, 'tls.crt'), fresh.cert)
  const broken = await command(sluice, 'reload', '--admin', `https://127.0.0.1:${port}`, '--token', TOKEN)
  assert.equal(broken.code, 1)
  assert.match(broken.stderr, /does not belong to the certificate/)
  assert.equal(await nameAt(t, port), 'admin.test')

  writeFileSync(join(sluice.folder, 'tls.key'), fresh.key)
  const replaced = await command(sluice, 'reload')
  assert.deepEqual([replaced.code, replaced.stderr], [0, ''])
  await waitFor('the new certificate', async () => (await nameAt(t, port)) === 'fresh.test')
})

test('token and TLS change where the listener is, without moving', async (t) => {
  const config = await configWith({ token: TOKEN })
  const sluice = await startSluice(t, config, { files: FILES })
  const port = portOf(config)
  const { admin } = config
  for (const next of [
    { ...admin, token: 'another-token-of-some-length' },
    { ...admin, token: null },
    { ...admin, token: null, tls: null },
    { ...admin, token: TOKEN },
  ]) {
    sluice.writeConfig({ ...config, admin: next })
    sluice.signal('SIGHUP')
    const { token } = next
    await waitFor(JSON.stringify(next), async () => {
      if (next.tls === null) return (await fetch(`http://127.0.0.1:${port}/version`).catch(() => null))?.status === 200
      const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
      const statusOf = (options: https.RequestOptions) =>
        get(port, '/version', options).then(
          (answer) => answer.status,
          () => 0,
        )
      return (await statusOf({ headers })) === 200 && (await statusOf({})) === (token === null ? 200 : 401)
    })
  }
})

test('client certificates: required, optional, and the commands show theirs', async (t) => {
  for (const mode of ['require', 'optional'] as const) {
    const config = await configWith({ tls: { certificates: CERTIFICATES, clientAuth: { ca: 'ca.crt', mode } } })
    const sluice = await startSluice(t, config, { files: FILES })
    const port = portOf(config)
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      assert.equal((await get(port, '/healthz', { maxVersion, cert: client.cert, key: client.key })).status, 200)
      const anonymous = await get(port, '/healthz', { maxVersion }).then(
        ({ status }) => status,
        () => 'refused',
      )
      assert.equal(anonymous, mode === 'require' ? 'refused' : 200)
      const { cert, key } = stranger
      await assert.rejects(get(port, '/healthz', { maxVersion, cert, key }), `${mode} ${maxVersion}: a certificate of a stranger`)
    }
    const shown = await command(sluice, 'reload', '--cert', 'client.crt', '--key', 'client.key')
    assert.deepEqual([shown.code, shown.stderr], [0, ''])
    const foreign = await command(sluice, 'reload', '--cert', 'stranger.crt', '--key', 'stranger.key')
    assert.equal(foreign.code, 1)
    if (mode === 'require') assert.match((await command(sluice, 'reload')).stderr, /wants a certificate from us/)
    await sluice.stop()
  }
})

test('elsewhere than on the loopback interface the commands believe only whom they should', async (t) => {
  const config = await configWith({ token: TOKEN, address: `${LIKE_ELSEWHERE}:${await freePort()}` })
  const sluice = await startSluice(t, config, { files: FILES })
  const { address: where } = config.admin
  const known = await command(sluice, 'reload')
  assert.deepEqual([known.code, known.stderr], [0, ''], 'the certificate is that of the configuration')
  const url = ['--admin', `https://${where}`, '--token', TOKEN]
  assert.match((await command(sluice, 'reload', ...url)).stderr, /certificate is not believed \(.*\); name its authority with --ca FILE/)
  assert.match((await command(sluice, 'reload', ...url, '--ca', 'ca.crt')).stderr, /ALTNAME|not believed/, 'it is for another name')
  assert.match((await command(sluice, 'reload', ...url, '--ca', 'none.crt')).stderr, /--ca: cannot read none\.crt/)
})
