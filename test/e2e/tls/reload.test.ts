// Certificates change while traffic runs: new connections get the new one, open ones stay, nothing fails.
import assert from 'node:assert/strict'
import { copyFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, ask, connect, GET, type Issued, metric } from './kit.ts'

const authority = new Authority({ after })
const old = authority.issue('old.test')
const fresh = authority.issue('new.test')
const soon = authority.issue('soon.test', { days: 5 })

const CONFIG = {
  workers: 2,
  listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [{ cert: 'tls.crt', key: 'tls.key' }] } } },
  routes: { hello: { match: { prefix: '/' }, respond: { status: 200, body: 'hi\n' } } },
}
const FILES = { 'tls.crt': old.cert, 'tls.key': old.key }

/** One file after the other, each in one step, as certbot does. */
function install(sluice: SluiceProcess, { certPath, keyPath }: Issued): void {
  for (const [from, to] of [
    [certPath, 'tls.crt'],
    [keyPath, 'tls.key'],
  ] as const) {
    const path = join(sluice.folder, to)
    copyFileSync(from, `${path}.next`)
    renameSync(`${path}.next`, path)
  }
}

const commonName = async (t: import('node:test').TestContext, sluice: SluiceProcess) => {
  const { commonName, socket } = await connect(t, sluice.port())
  socket.destroy()
  return commonName
}

test('replaced files are noticed, and no request fails meanwhile', async (t) => {
  const sluice = await startSluice(t, CONFIG, { files: FILES, args: ['--watch'] })
  const kept = await connect(t, sluice.port())
  assert.equal(kept.commonName, 'old.test')
  let isOver = false
  let requests = 0
  const names = new Set<string>()
  const clients = Array.from({ length: 8 }, async (_, index) => {
    while (!isOver) {
      const { socket, commonName } = await connect(t, sluice.port())
      names.add(commonName)
      for (let i = 0; i < (index % 4) * 5 + 1; i++, requests++) assert.match(await ask(socket, GET), /^HTTP\/1\.1 200/)
      socket.destroy()
    }
  })
  for (const next of [fresh, old, fresh]) {
    install(sluice, next)
    const name = next === fresh ? 'new.test' : 'old.test'
    await waitFor(`the certificate of ${name} at both workers`, async () => {
      for (let i = 0; i < 6; i++) if ((await commonName(t, sluice)) !== name) return false
      return true
    })
  }
  await sleep(200)
  isOver = true
  await Promise.all(clients)
  assert.deepEqual([...names].sort(), ['new.test', 'old.test'])
  assert.ok(requests > 50)
  assert.match(await ask(kept.socket, GET), /^HTTP\/1\.1 200/, 'the connection from before is still open')
})

test('a broken file keeps the certificate before it, and says so', async (t) => {
  const sluice = await startSluice(t, CONFIG, { files: FILES, args: ['--watch'] })
  for (const [file, text, words] of [
    ['tls.crt', 'nothing of use', 'holds no certificate'],
    ['tls.crt', fresh.cert, 'does not belong to the certificate'],
    ['tls.key', 'nothing of use', 'holds no private key'],
  ] as const) {
    writeFileSync(join(sluice.folder, file), text)
    await waitFor(words, () => sluice.logs.some((line) => line.includes(words)))
    assert.equal(await commonName(t, sluice), 'old.test')
  }
  assert.ok(sluice.logs.some((line) => line.includes('the configuration before it stays in use')))
  install(sluice, fresh)
  await waitFor('the new certificate', async () => (await commonName(t, sluice)) === 'new.test')
})

test('SIGHUP reads the files again; without a change nothing happens', async (t) => {
  const sluice = await startSluice(t, CONFIG, { files: FILES })
  sluice.signal('SIGHUP')
  await waitFor('no changes', () => sluice.logs.some((line) => line.includes('no changes')))
  install(sluice, fresh)
  await sleep(300)
  assert.equal(await commonName(t, sluice), 'old.test', 'nobody watches')
  sluice.signal('SIGHUP')
  await waitFor('the new certificate', async () => (await commonName(t, sluice)) === 'new.test')
})

test('a certificate that expires soon is a number and a warning, and keys are shown nowhere', async (t) => {
  const sluice = await startSluice(t, CONFIG, { files: { 'tls.crt': soon.cert, 'tls.key': soon.key } })
  assert.ok(sluice.logs.some((line) => line.includes('a certificate expires in') && line.includes('tls.crt')))
  const expires = await metric(sluice.adminUrl, 'sluice_tls_certificate_expiry_timestamp_seconds', {
    listener: 'web',
    certificate: 'soon.test',
  })
  assert.ok(Math.abs(expires - Date.now() / 1000 - 5 * 86_400) < 600)
  const shown = await (await fetch(`${sluice.adminUrl}/config`)).text()
  assert.match(shown, /tls\.crt/)
  assert.doesNotMatch(shown, /PRIVATE/)
  install(sluice, fresh)
  sluice.signal('SIGHUP')
  await waitFor(
    'the number to follow',
    async () => (await metric(sluice.adminUrl, 'sluice_tls_certificate_expiry_timestamp_seconds', { certificate: 'soon.test' })) === 0,
  )
})
