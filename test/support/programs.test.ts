import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findProgram, type Machine, requirePrograms } from './programs.ts'
import { curl } from './run.ts'
import { startUpstream } from './upstream.ts'

test('a program on the PATH is found with its whole path, and one that is not there is not', () => {
  assert.match(findProgram('sh') ?? '', /^\/.*\/sh$/)
  assert.equal(findProgram('no-such-program'), null)
})

test('what is missing is named with its package when it cannot be installed', () => {
  const nothing: Machine = { find: () => null, isRoot: false, install: () => assert.fail('must not install') }
  assert.throws(() => requirePrograms(['wrk', 'ab'], nothing), {
    message: 'the tests need wrk, ab; install the Debian packages wrk apache2-utils (not done here: this is not root)',
  })
  assert.throws(() => requirePrograms(['wrk'], { ...nothing, isRoot: true }), /there is no apt-get/)
})

test('what is missing is installed, what is there is not, and a failed installation shows what apt-get said', () => {
  const there = new Map([
    ['curl', '/usr/bin/curl'],
    ['apt-get', '/usr/bin/apt-get'],
    ['flock', '/usr/bin/flock'],
  ])
  const asked: string[][] = []
  const machine: Machine = {
    find: (name) => there.get(name) ?? null,
    isRoot: true,
    install: (packages) => {
      asked.push([...packages])
      if (packages.includes('nginx-light')) there.set('nginx', '/usr/sbin/nginx')
      return 'E: nothing to be had'
    },
  }
  assert.deepEqual(requirePrograms(['curl', 'nginx'], machine), { curl: '/usr/bin/curl', nginx: '/usr/sbin/nginx' })
  assert.deepEqual(asked, [['nginx-light']])
  assert.throws(() => requirePrograms(['haproxy'], machine), /haproxy \(tried here, without success\):\nE: nothing to be had/)
})

/** Runs the installing script with an apt-get that only tells what it is called with and what it sees. */
function install(t: TestContext, policyBefore: string | null, aptExit = 0) {
  const folder = mkdtempSync(join(tmpdir(), 'packages-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const policy = join(folder, 'policy-rc.d')
  if (policyBefore !== null) writeFileSync(policy, policyBefore)
  writeFileSync(join(folder, 'apt-get'), `#!/bin/sh\necho "apt-get $*"\nsh ${policy}; echo "policy says $?"\nexit ${aptExit}\n`, {
    mode: 0o755,
  })
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}`, POLICY_FILE: policy }
  const run = () =>
    spawnSync('sh', [join(import.meta.dirname, 'install-packages.sh'), join(folder, 'stamp'), 'a', 'b'], { encoding: 'utf8', env })
  return { run, policy, left: () => (existsSync(policy) ? readFileSync(policy, 'utf8') : null) }
}

test('no daemon may start while packages are installed, and the policy of the machine is as before afterwards', (t) => {
  for (const before of [null, '#!/bin/sh\nexit 0\n']) {
    const { run, left } = install(t, before)
    const { status, stdout } = run()
    assert.equal(status, 0)
    assert.match(stdout, /^apt-get .*update\npolicy says 101\napt-get .*install -y --no-install-recommends a b\npolicy says 101\n$/)
    assert.equal(left(), before)
    // The lists are fresh now.
    assert.doesNotMatch(run().stdout, /update/)
  }
})

test('a failed installation fails, and still gives the policy back', (t) => {
  const { run, left } = install(t, 'exit 0', 100)
  assert.equal(run().status, 100)
  assert.equal(left(), 'exit 0')
})

test('the policy that a killed run left behind is taken away by the next one', (t) => {
  const { run, policy, left } = install(t, null)
  writeFileSync(`${policy}.saved-by-sluice-tests`, 'exit 42')
  writeFileSync(policy, 'exit 101')
  assert.equal(run().status, 0)
  assert.equal(left(), 'exit 42')
})

test('curl is real and talks to an upstream', async (t) => {
  requirePrograms(['curl'])
  const upstream = await startUpstream(t, (_, response) => response.end('hello'))
  assert.equal(await curl(`http://${upstream.address}/`), 'hello')
  await assert.rejects(curl('--fail', 'http://127.0.0.1:1/'), /ended with 7/)
})
