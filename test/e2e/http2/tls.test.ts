/** HTTP/2 over TLS, as browsers speak it: agreed on with ALPN. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import http2 from 'node:http2'
import { after, test } from 'node:test'
import { requirePrograms } from '../../support/programs.ts'
import { curl, runProgram } from '../../support/run.ts'
import { startUpstream } from '../../support/upstream.ts'
import { startGateway } from '../http1/kit.ts'
import { Authority } from '../tls/kit.ts'
import { ask } from './kit.ts'

const { h2load } = requirePrograms(['curl', 'h2load'])
const scope = { after }
const bytes = randomBytes(5_000_000)
const hash = createHash('sha256').update(bytes).digest('hex')
const authority = new Authority(scope)
const { certPath, keyPath } = authority.issue('a.test')

const upstream = await startUpstream(scope, async (incoming, outgoing) => {
  if (incoming.method === 'PUT') {
    const sum = createHash('sha256')
    for await (const piece of incoming) sum.update(piece as Buffer)
    outgoing.end(sum.digest('hex'))
  } else if (incoming.url === '/big') outgoing.end(bytes)
  else outgoing.end(`${incoming.headers['x-forwarded-proto']} ${incoming.headers['via']}`)
})
const tls = { certificates: [{ cert: certPath, key: keyPath }] }
const gateway = await startGateway(scope, [upstream.address], {
  more: { listeners: { web: { address: '127.0.0.1:0', tls }, old: { address: '127.0.0.1:0', tls, http2: null } } },
})

const curlTo = (name: string, ...args: string[]) => {
  const port = gateway.port(name)
  return curl('--cacert', authority.path, '--resolve', `a.test:${port}:127.0.0.1`, ...args, `https://a.test:${port}/`)
}

test('ALPN decides: h2 when both speak it, HTTP/1.1 when not', async () => {
  assert.equal(await curlTo('web', '-w', ' %{http_version}'), 'https 2.0 sluice 2')
  assert.equal(await curlTo('web', '-w', ' %{http_version}', '--http1.1'), 'https 1.1 sluice 1.1')
  assert.equal(await curlTo('old', '-w', ' %{http_version}'), 'https 1.1 sluice 1.1')
})

test('large bodies pass both ways, many at a time', async (t) => {
  const session = http2.connect(`https://127.0.0.1:${gateway.port('web')}`, {
    ca: authority.cert,
    servername: 'a.test',
    maxSessionMemory: 1000,
  })
  t.after(() => session.destroy())
  const sum = (text: string) => createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex')
  const all = Array.from({ length: 6 }, async (_, i) => {
    if (i % 2 === 0) assert.equal(sum((await ask(session, { ':path': '/big' })).body), hash)
    else assert.equal((await ask(session, { ':method': 'PUT' }, { body: bytes })).body, hash)
  })
  await Promise.all(all)
})

test('h2load gets every answer', async () => {
  const { stdout, code } = await runProgram(h2load, ['-c4', '-m20', '-n2000', `https://127.0.0.1:${gateway.port('web')}/`])
  assert.equal(code, 0)
  assert.match(stdout, /2000 succeeded, 0 failed, 0 errored/)
})
