import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createFakeIo, makeFolder } from '../../test/support/command-io.ts'
import { COMMANDS, runCommandLine } from './commands.ts'
import { readVersion } from './version.ts'

function run(t: TestContext, argv: string[], options?: { hasColors: boolean }) {
  const io = createFakeIo(makeFolder(t), options)
  return runCommandLine(argv, io).then((code) => ({ code, out: io.out(), err: io.err() }))
}

test('help names every command, and each command has help of its own', async (t) => {
  for (const argv of [['help'], ['--help'], ['-h']]) {
    const { code, out } = await run(t, argv)
    assert.equal(code, 0)
    for (const { name, summary } of COMMANDS) assert.match(out, new RegExp(`  ${name} +${summary.slice(0, 20)}`))
  }
  for (const { name } of COMMANDS) {
    const { code, out } = await run(t, [name, '--help'])
    assert.equal(code, 0)
    assert.match(out, new RegExp(`^usage: sluice ${name}`))
  }
})

test('no command, or one that does not exist, is wrong usage; a near miss is named', async (t) => {
  assert.deepEqual(await run(t, []), { code: 2, out: '', err: 'sluice: a command is missing\nsluice help tells what there is\n' })
  assert.match((await run(t, ['chekc'])).err, /there is no command "chekc"; did you mean "check"\?/)
  assert.match((await run(t, ['help', 'relaod'])).err, /did you mean "reload"\?/)
  const far = await run(t, ['xyzzy'])
  assert.equal(far.code, 2)
  assert.doesNotMatch(far.err, /did you mean/)
})

test('an option that does not exist, lacks its value, or an argument too many is wrong usage', async (t) => {
  const cases: [string[], RegExp][] = [
    [['check', '--confg', 'x'], /unknown option --confg; did you mean "--config"\?\nusage: sluice check \[-c FILE\]/],
    [['check', '-x'], /unknown option -x\n/],
    [['check', '-c'], /'-c, --config <value>' argument missing/],
    [['check', '-c', 'a', 'b'], /unexpected argument "b"/],
    [['explain', '-c', 'a', 'GET'], /URL is missing/],
    [['schema', '--json'], /unknown option --json/],
  ]
  for (const [argv, expected] of cases) {
    const { code, err } = await run(t, argv)
    assert.equal(code, 2, argv.join(' '))
    assert.match(err, expected)
  }
})

test('without a configuration every command that needs one says where it looked', async (t) => {
  for (const argv of [['run'], ['check'], ['explain', 'GET', '/'], ['reload']]) {
    const { code, err } = await run(t, argv)
    assert.equal(code, 2, argv.join(' '))
    assert.match(
      err,
      /name a file with -c, or make one with "sluice init" \(looked for sluice\.config\.ts, sluice\.yaml, sluice\.yml, sluice\.json in /,
    )
  }
})

test('version prints the versions, also for programs', async (t) => {
  for (const argv of [['version'], ['--version'], ['-v']]) {
    assert.deepEqual(await run(t, argv), { code: 0, out: `sluice ${readVersion()} (Node.js ${process.versions.node})\n`, err: '' })
  }
  assert.deepEqual(JSON.parse((await run(t, ['version', '--json'])).out), { version: readVersion(), node: process.versions.node })
})

test('schema prints a JSON Schema that knows the keys of the configuration', async (t) => {
  const { code, out } = await run(t, ['schema'])
  assert.equal(code, 0)
  const schema = JSON.parse(out) as { properties: Record<string, unknown> }
  for (const key of ['listeners', 'services', 'routes']) assert.ok(key in schema.properties, key)
})

test('colours are written only where they are wanted', async (t) => {
  assert.ok((await run(t, ['help'], { hasColors: true })).out.includes('\u001b[1mrun'))
  assert.ok(!(await run(t, ['help'])).out.includes('\u001b'))
})
