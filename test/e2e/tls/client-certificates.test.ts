// mTLS: who is let in, and what services are told about them.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { curl } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, ask, connect, metric } from './kit.ts'

const authority = new Authority({ after })
const stranger = new Authority({ after }, 'Another CA')
const server = authority.issue('a.test')
const client = authority.issue('client', { subject: '/C=DE/O=Grün, Söhne/CN=client' })
const foreign = stranger.issue('client')
const expired = authority.issue('late', { days: -1 })
const certificates = [{ cert: server.certPath, key: server.keyPath }]
const REQUEST = 'GET / HTTP/1.1\r\nHost: a.test\r\nX-Client-Subject: CN=forged\r\nX_Client_Subject: CN=forged\r\n\r\n'

const names = (mode: string, extra = {}) => ({
  address: '127.0.0.1:0',
  tls: { certificates, clientAuth: { ca: authority.path, mode, forward: 'X-Client-Subject' } },
  ...extra,
})

test('a listener that requires a certificate refuses who has none, a foreign one or an expired one', async (t) => {
  const upstream = await startUpstream(t, (request, response) => void response.end(JSON.stringify(request.headers)))
  const sluice = await startSluice(t, {
    listeners: { web: names('require') },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const options of [{}, { cert: foreign.cert, key: foreign.key }, { cert: expired.cert, key: expired.key }]) {
      const attempt = connect(t, sluice.port(), { ...options, minVersion: version, maxVersion: version }).then(({ socket }) =>
        ask(socket, REQUEST),
      )
      await assert.rejects(attempt)
    }
    const { socket } = await connect(t, sluice.port(), { cert: client.cert, key: client.key, minVersion: version, maxVersion: version })
    const answer = await ask(socket, REQUEST)
    assert.match(answer, /"x-client-subject":"CN=client,O=Gr\\\\C3\\\\BCn\\\\, S\\\\C3\\\\B6hne,C=DE"/)
    assert.doesNotMatch(answer, /forged/)
  }
  await waitFor('the counters', async () => (await metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { result: 'refused' })) === 6)
  assert.equal(upstream.connections > 0, true)
})

test('where certificates are optional, who has none is served, who has a wrong one is not', async (t) => {
  const upstream = await startUpstream(t, (request, response) => void response.end(JSON.stringify(request.headers)))
  const sluice = await startSluice(t, {
    listeners: { web: names('optional'), kept: names('optional', { headers: { underscore: 'keep' } }), plain: { address: '127.0.0.1:0' } },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  for (const listener of ['web', 'kept']) {
    const anonymous = await connect(t, sluice.port(listener))
    assert.doesNotMatch(await ask(anonymous.socket, REQUEST), /forged|client.subject/i)
    const known = await connect(t, sluice.port(listener), { cert: client.cert, key: client.key })
    for (let i = 0; i < 2; i++) assert.match(await ask(known.socket, REQUEST), /"x-client-subject":"CN=client,/)
    await assert.rejects(
      connect(t, sluice.port(listener), { cert: foreign.cert, key: foreign.key }).then(({ socket }) => ask(socket, REQUEST)),
    )
  }
  const plain = await fetch(`http://127.0.0.1:${sluice.port('plain')}/`, { headers: { 'X-Client-Subject': 'CN=forged' } })
  assert.doesNotMatch(await plain.text(), /forged/, 'also on a listener without TLS, because services cannot tell')
})

test('a resumed session carries the certificate it began with', async (t) => {
  const upstream = await startUpstream(t, (request, response) => void response.end(String(request.headers['x-client-subject'])))
  const sluice = await startSluice(t, {
    listeners: { web: names('require') },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { minVersion: version, maxVersion: version, servername: 'a.test' }
    const { socket } = await connect(t, sluice.port(), { ...options, cert: client.cert, key: client.key })
    const ticket = new Promise<Buffer>((resolve) => socket.once('session', resolve))
    await ask(socket, REQUEST)
    const session = version === 'TLSv1.3' ? await ticket : (socket.getSession() as Buffer)
    const again = await connect(t, sluice.port(), { ...options, session })
    assert.equal(again.resumed, true)
    assert.match(await ask(again.socket, REQUEST), /CN=client/)
  }
})

test('over HTTP/2 services are told the same', async (t) => {
  const upstream = await startUpstream(t, (request, response) => void response.end(String(request.headers['x-client-subject'])))
  const sluice = await startSluice(t, {
    listeners: { web: names('require') },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  const url = `https://127.0.0.1:${sluice.port()}/`
  const show = ['--cert', client.certPath, '--key', client.keyPath, '-k', '--http2', '-H', 'X-Client-Subject: CN=forged']
  assert.match(await curl(...show, '-w', ' %{http_version}', url, url), /^(CN=client,O=.*C=DE 2){2}$/)
  await assert.rejects(curl('-k', '--http2', url))
})
