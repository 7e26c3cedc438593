import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { makeFolder } from '../support/command-io.ts'
import { LAUNCHER, runSluice } from '../support/sluice.ts'

const FIVE_MISTAKES = `listeners:
  web: { address: "127.0.0.1:http" }
services:
  users:
    endpoints: ["127.0.0.1:9001"]
    balanse: random
routes:
  users:
    match: { prefx: /users }
    to: usres
acessLog: null
`

test('a configuration with five mistakes prints five errors with line and column, and exits with 1', async (t) => {
  const cwd = makeFolder(t, { 'sluice.yaml': FIVE_MISTAKES })
  const { code, stdout, stderr } = await runSluice(['check', '-c', 'sluice.yaml'], { cwd })
  assert.equal(code, 1)
  assert.equal(stdout, '')
  const places = [...stderr.matchAll(/^sluice\.yaml:(\d+):(\d+): ([^:]+): /gm)].map(([, line, column, path]) => `${line}:${column} ${path}`)
  assert.deepEqual(places, [
    '2:19 listeners.web.address',
    '6:5 services.users.balanse',
    '9:14 routes.users.match.prefx',
    '10:9 routes.users.to',
    '11:1 acessLog',
  ])
  for (const hint of ['balance', 'prefix', 'users', 'accessLog']) assert.ok(stderr.includes(`did you mean "${hint}"?`), hint)
})

test('what init writes, check accepts and explain explains', async (t) => {
  const cwd = makeFolder(t)
  assert.equal((await runSluice(['init'], { cwd })).code, 0)
  assert.equal((await runSluice(['check'], { cwd })).stdout, 'sluice.yaml: ok (1 listener, 1 service, 2 routes)\n')
  const { code, stdout } = await runSluice(['explain', 'GET', '/api/users'], { cwd })
  assert.equal(code, 0)
  assert.match(stdout, /route api\n/)
})

test('wrong usage exits with 2', async () => {
  const { code, stderr } = await runSluice(['chekc'])
  assert.equal(code, 2)
  assert.match(stderr, /did you mean "check"\?/)
})

test('a reader that goes away before it has read is no error', () => {
  // The reader has ended long before the first byte is written.
  const script = '{ "$1" "$2" schema; echo "status $?" >&2; } | :'
  const { stderr } = spawnSync('sh', ['-c', script, 'sh', process.execPath, LAUNCHER], { encoding: 'utf8' })
  assert.equal(stderr, 'status 0\n')
})

test('the output is complete when it is longer than a pipe holds', async () => {
  const { stdout } = await runSluice(['schema'])
  assert.ok(stdout.length > 10_000)
  JSON.parse(stdout)
})
