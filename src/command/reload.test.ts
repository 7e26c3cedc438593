import assert from 'node:assert/strict'
import type http from 'node:http'
import { type TestContext, test } from 'node:test'
import { createFakeIo, makeFolder } from '../../test/support/command-io.ts'
import { startUpstream } from '../../test/support/upstream.ts'
import { runCommandLine } from './commands.ts'

/** An admin listener that answers `POST /reload` with this, and what it was asked. */
async function startAdmin(t: TestContext, status: number, body: unknown) {
  const requests: { method: string | undefined; url: string | undefined; authorization: string | undefined; origin: string | undefined }[] =
    []
  const upstream = await startUpstream(t, (request: http.IncomingMessage, response) => {
    const { authorization, origin } = request.headers
    requests.push({ method: request.method, url: request.url, authorization, origin })
    response.writeHead(status, { 'content-type': 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  return { address: upstream.address, requests }
}

function run(t: TestContext, argv: string[], { config, env = {} }: { config?: string; env?: Record<string, string> } = {}) {
  const io = createFakeIo(makeFolder(t, config === undefined ? {} : { 'sluice.yaml': config }), { env })
  return runCommandLine(['reload', ...argv], io).then((code) => ({ code, out: io.out(), err: io.err() }))
}

const LISTENERS = 'listeners: { web: { address: "127.0.0.1:0" } }\n'

test('the admin listener of the configuration is asked, with its token', async (t) => {
  const admin = await startAdmin(t, 200, { ok: true, generation: 3, changed: true })
  const config = `${LISTENERS}admin: { address: "${admin.address}", token: a-token-of-some-length }\n`
  assert.deepEqual(await run(t, [], { config }), { code: 0, out: 'reloaded (generation 3)\n', err: '' })
  assert.deepEqual(admin.requests, [{ method: 'POST', url: '/reload', authorization: 'Bearer a-token-of-some-length', origin: undefined }])
})

test('--admin needs no configuration; the token may come from the environment', async (t) => {
  const admin = await startAdmin(t, 200, { ok: true, generation: 3, changed: false })
  const env = { SLUICE_ADMIN_TOKEN: 'from-the-environment' }
  assert.deepEqual(await run(t, ['--admin', admin.address], { env }), { code: 0, out: 'reloaded: nothing has changed\n', err: '' })
  await run(t, ['--admin', `http://${admin.address}/`, '--token', 'given'], { env })
  assert.deepEqual(
    admin.requests.map(({ authorization }) => authorization),
    ['Bearer from-the-environment', 'Bearer given'],
  )
})

test('a refused configuration is told with every problem, and fails', async (t) => {
  const problems = [
    { file: 'sluice.yaml', line: 3, column: 7, path: 'services.a', message: 'unknown key' },
    { message: 'something without a place' },
  ]
  const admin = await startAdmin(t, 422, { title: 'Unprocessable Content', detail: 'The one before stays in use.', problems })
  const { code, out, err } = await run(t, ['--admin', admin.address])
  assert.equal(code, 1)
  assert.equal(out, '')
  assert.equal(
    err,
    'sluice.yaml:3:7: services.a: unknown key\nsomething without a place\nsluice: not reloaded: The one before stays in use.\n',
  )
  const json = JSON.parse((await run(t, ['--json', '--admin', admin.address])).out)
  assert.equal(json.ok, false)
  assert.deepEqual(json.problems, problems)
})

test('whatever else answers there is a failure that names the status', async (t) => {
  const admin = await startAdmin(t, 502, '<html>no JSON</html>')
  assert.deepEqual(await run(t, ['--admin', admin.address]), {
    code: 1,
    out: '',
    err: 'sluice: not reloaded: the admin listener answered 502\n',
  })
})

test('a gateway that is not there is a failure in one line', async (t) => {
  const { code, err } = await run(t, ['--admin', '127.0.0.1:1'])
  assert.equal(code, 1)
  assert.match(err, /^sluice: no answer from http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED.*\n$/)
})

test('a broken configuration is told here and nothing is sent', async (t) => {
  const { code, err } = await run(t, [], { config: `${LISTENERS}admn: null\n` })
  assert.equal(code, 1)
  assert.match(err, /admn: unknown key; did you mean "admin"\?/)
})

test('an admin listener that is off, or on a port nobody knows, is wrong usage', async (t) => {
  assert.match((await run(t, [], { config: `${LISTENERS}admin: null\n` })).err, /the admin listener is off/)
  const unknown = await run(t, [], { config: `${LISTENERS}admin: { address: "127.0.0.1:0" }\n` })
  assert.equal(unknown.code, 2)
  assert.match(unknown.err, /name it with --admin URL/)
})
