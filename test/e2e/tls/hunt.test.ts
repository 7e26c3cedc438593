// What clients try with TLS that nobody should: sessions that outlive their certificate, names of others, no TLS at all.
import assert from 'node:assert/strict'
import net from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { curl } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { Authority, ask, connect, metric } from './kit.ts'

const authority = new Authority({ after })
const stranger = new Authority({ after }, 'Another CA')
const first = authority.issue('first.test')
const both = authority.issue('both.test', { names: 'DNS:both.test,DNS:second.test,DNS:*.wild.test' })
/** How long the certificate is valid that expires within the test. */
const LIFE_MS = 3000
const routes = { hello: { match: { prefix: '/' }, respond: { status: 200, body: 'hi\n' } } }
const requestFor = (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`
const certificates = [
  { cert: first.certPath, key: first.keyPath },
  { cert: both.certPath, key: both.keyPath },
]

test('a session does not outlive the certificate of the client, nor make up for one that was refused', async (t) => {
  const foreign = stranger.issue('foreign')
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      web: { address: '127.0.0.1:0', tls: { certificates, clientAuth: { ca: authority.path, mode: 'optional' } } },
    },
    routes,
  })
  const nowMs = Date.now()
  const short = authority.issue('short', { validity: { from: new Date(nowMs - 60_000), to: new Date(nowMs + LIFE_MS) } })
  const sessions: [string, Buffer][] = []
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { minVersion: version, maxVersion: version, servername: 'first.test' }
    const { socket } = await connect(t, sluice.port(), { ...options, cert: short.cert, key: short.key })
    const ticket = new Promise<Buffer>((resolve) => socket.once('session', resolve))
    assert.match(await ask(socket, requestFor('first.test')), /^HTTP\/1\.1 200/)
    const session = version === 'TLSv1.3' ? await ticket : (socket.getSession() as Buffer)
    sessions.push([version, session])
    const again = await connect(t, sluice.port(), { ...options, session })
    assert.equal(again.resumed, true)

    let kept: Buffer | undefined
    const refused = await connect(t, sluice.port(), { ...options, cert: foreign.cert, key: foreign.key }).catch(() => null)
    refused?.socket.on('session', (one) => {
      kept = one
    })
    if (refused !== null) {
      await assert.rejects(ask(refused.socket, requestFor('first.test')))
      kept ??= version === 'TLSv1.2' ? refused.socket.getSession() : undefined
    }
    if (kept !== undefined) {
      const attempt = connect(t, sluice.port(), { ...options, session: kept }).then(async (one) => {
        // Without the session that was refused it is an anonymous client, who may come in.
        if (one.resumed) return ask(one.socket, requestFor('first.test'))
        throw new Error('not resumed')
      })
      await assert.rejects(attempt)
    }
  }
  await sleep(Math.max(0, nowMs + LIFE_MS + 1100 - Date.now()))
  for (const [version, session] of sessions) {
    const options = { minVersion: version, maxVersion: version, servername: 'first.test', session } as const
    await assert.rejects(
      connect(t, sluice.port(), options as object).then(({ socket }) => ask(socket, requestFor('first.test'))),
      `${version}: the certificate has expired since`,
    )
  }
})

test('a request for a host with a certificate of its own is misdirected on a connection that showed another', async (t) => {
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      web: { address: '127.0.0.1:0', tls: { certificates } },
      proxied: { address: '127.0.0.1:0', tls: { certificates }, trustedProxies: ['127.0.0.1'] },
    },
    routes,
  })
  const statusOf = async (servername: string, host: string, listener = 'web') => {
    const { socket } = await connect(t, sluice.port(listener), servername === '' ? {} : { servername })
    const answer = await ask(socket, requestFor(host))
    socket.destroy()
    return Number(answer.slice(9, 12))
  }
  for (const [servername, host, status] of [
    ['first.test', 'first.test', 200],
    ['first.test', 'FIRST.test.:443', 200],
    ['first.test', 'both.test', 421],
    ['first.test', 'BOTH.TEST:8443', 421],
    ['first.test', 'a.wild.test', 421],
    ['first.test', 'a.b.wild.test', 200],
    ['first.test', 'nobody.test', 200],
    ['both.test', 'second.test', 200],
    ['BOTH.test', 'x.wild.test', 200],
    ['both.test', 'first.test', 421],
    ['nobody.test', 'first.test', 200],
    ['nobody.test', 'both.test', 421],
    ['', 'both.test', 200],
    ['x.wild.test', '127.0.0.1', 200],
  ] as const) {
    assert.deepEqual([servername, host, await statusOf(servername, host)], [servername, host, status])
  }
  assert.equal(await statusOf('first.test', 'both.test', 'proxied'), 200, 'a trusted proxy may ask by its own name')

  const url = `https://both.test:${sluice.port()}/`
  const resolve = [
    '--resolve',
    `both.test:${sluice.port()}:127.0.0.1`,
    '-k',
    '--http2',
    '-o',
    '/dev/null',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code} %{http_version} ',
  ]
  assert.equal(await curl(...resolve, '-H', 'Host: second.test', url, url), '200 2 200 2 ')
  assert.equal(await curl(...resolve, '-H', 'Host: first.test', url, url), '421 2 421 2 ')
})

test('plain HTTP on a TLS port and TLS on a plain one are refused at once', async (t) => {
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates } }, plain: { address: '127.0.0.1:0' } },
    routes,
  })
  const text = await new Promise<string>((resolve) => {
    const socket = net.connect(sluice.port(), '127.0.0.1', () => socket.write(requestFor('first.test')))
    let all = ''
    socket.on('data', (piece) => (all += piece.toString('latin1'))).on('error', () => undefined)
    socket.on('close', () => resolve(all))
  })
  assert.doesNotMatch(text, /200/)
  await assert.rejects(connect(t, sluice.port('plain')))
  assert.equal((await metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { result: 'failed' })) > 0, true)
})
