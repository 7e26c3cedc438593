import assert from 'node:assert/strict'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createFakeIo, type FakeIo, makeFolder } from '../../test/support/command-io.ts'
import { waitFor } from '../../test/support/wait.ts'
import { runCommand } from './run.ts'
import type { ServedGateway, StartGatewayOptions } from './serve.ts'

const CONFIG = 'listeners: { web: { address: "127.0.0.1:0" } }\nlog: { format: text }\n'

/** A gateway that only keeps what it was told. `finish` is the end of draining. */
class FakeGateway implements ServedGateway {
  readonly options: StartGatewayOptions
  readonly calls: string[] = []
  adminAddress: string | null = '127.0.0.1:9900'
  adminScheme = 'http' as const
  readonly stopped: Promise<void>
  finish: () => void = () => {}

  constructor(options: StartGatewayOptions) {
    this.options = options
    this.stopped = new Promise((resolve) => {
      this.finish = resolve
    })
  }

  listenerAddresses() {
    return [{ name: 'web', address: '0.0.0.0:8080' }]
  }

  async reload() {
    const { ok } = await this.options.reload()
    this.calls.push(ok ? 'reload' : 'bad reload')
    return { ok }
  }

  reopenLogs() {
    this.calls.push('reopen logs')
  }

  async stop() {
    this.calls.push('stop')
  }
}

/** `sluice run` in this process, with a gateway that only keeps what it was told. */
async function start(t: TestContext, argv: string[] = [], config = CONFIG) {
  const folder = makeFolder(t, { 'sluice.yaml': config })
  const io = createFakeIo(folder)
  const started: FakeGateway[] = []
  const code = runCommand(argv, io, async (options) => {
    const gateway = new FakeGateway(options)
    started.push(gateway)
    return gateway
  })
  const gateway = await waitFor('the start', () => started[0])
  await waitFor('the announcement', () => io.out() + io.err() !== '')
  t.after(async () => {
    gateway.finish()
    await code
  })
  return { folder, io, gateway, code, file: join(folder, 'sluice.yaml') }
}

test('the addresses are printed for people on standard error, which the access log does not use', async (t) => {
  const { io, gateway } = await start(t)
  assert.match(io.err(), /sluice \S+ is serving\n {2}web {4}http:\/\/localhost:8080\n {2}admin {2}http:\/\/127\.0\.0\.1:9900\n/)
  assert.equal(io.out(), '')
  assert.equal(gateway.options.config.config.listeners['web']!.name, 'web')
})

test('--json prints one line for programs', async (t) => {
  const { io } = await start(t, ['--json'])
  assert.equal(io.out(), '{"listeners":{"web":"0.0.0.0:8080"},"admin":"127.0.0.1:9900"}\n')
})

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  test(`${name} stops in order with exit code 0 and leaves no handler behind`, async (t) => {
    const { io, gateway, code } = await start(t)
    io.signal(name)
    assert.deepEqual(gateway.calls, ['stop'])
    gateway.finish()
    assert.equal(await code, 0)
    assert.deepEqual(io.exits, [])
    assert.equal(io.handlers(), 0)
  })
}

test('a second signal does not wait', async (t) => {
  const { io, gateway } = await start(t)
  io.signal('SIGTERM')
  io.signal('SIGINT')
  assert.deepEqual(gateway.calls, ['stop'])
  assert.deepEqual(io.exits, [1])
})

test('a gateway that cannot stop in order ends the process with a failure', async (t) => {
  const { io, gateway } = await start(t)
  gateway.stop = () => Promise.reject(new Error('stuck'))
  io.signal('SIGTERM')
  await waitFor('the exit', () => io.exits.length > 0)
  assert.deepEqual(io.exits, [1])
  assert.match(io.err(), /did not stop in order.*stuck/)
})

test('SIGHUP reloads; a bad configuration is printed and the gateway goes on', async (t) => {
  const { io, gateway, file } = await start(t)
  io.signal('SIGHUP')
  await waitFor('the reload', () => gateway.calls.includes('reload'))
  writeFileSync(file, `${CONFIG}routs: {}\n`)
  io.signal('SIGHUP')
  await waitFor('the bad reload', () => gateway.calls.includes('bad reload'))
  assert.match(io.err(), /sluice\.yaml:3:1: routs: unknown key; did you mean "routes"\?\n {2}routs: {}/)
  assert.match(io.err(), /not loaded; the configuration before it stays in use/)
  assert.deepEqual(io.exits, [])
})

test('a reload that throws is logged and the gateway goes on', async (t) => {
  const { io, gateway } = await start(t)
  gateway.reload = () => Promise.reject(new Error('boom'))
  io.signal('SIGHUP')
  await waitFor('the log', () => /the reload failed.*boom/.test(io.err()))
  assert.deepEqual(io.exits, [])
})

test('an error that nobody caught is logged and ends nothing', async (t) => {
  const { io } = await start(t)
  io.uncaught(new Error('surprise'))
  assert.match(io.err(), /error +an error that nobody caught.*surprise/)
  assert.deepEqual(io.exits, [])
})

test('--watch reloads when the file is replaced, and when a file it names changes', async (t) => {
  const folder = makeFolder(t, { body: 'one' })
  const config = `${CONFIG}routes: { a: { respond: { body: "\${file:${folder}/body}" } } }\n`
  const { gateway, file } = await start(t, ['--watch'], CONFIG)
  writeFileSync(`${file}.new`, config)
  renameSync(`${file}.new`, file)
  await waitFor('the reload', () => gateway.calls.length === 1)
  // The file of the new configuration is watched once it was read.
  await waitFor(
    'the second reload',
    () => {
      if (gateway.calls.length < 2) writeFileSync(join(folder, 'body'), `${Math.random()}`)
      return gateway.calls.length >= 2
    },
    { everyMs: 300 },
  )
  assert.ok(
    gateway.calls.every((call) => call === 'reload'),
    gateway.calls.join(),
  )
})

test('without --watch a changed file is left alone', async (t) => {
  const { gateway, file } = await start(t)
  writeFileSync(file, `${CONFIG}workers: 1\n`)
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.deepEqual(gateway.calls, [])
})

async function runWith(t: TestContext, config: string, startGateway: (options: StartGatewayOptions, io: FakeIo) => Promise<ServedGateway>) {
  const io = createFakeIo(makeFolder(t, { 'sluice.yaml': config }))
  const code = await runCommand([], io, (options) => startGateway(options, io)).catch((error: Error) => error.message)
  return { code, io }
}

test('a bad configuration is printed and nothing is started', async (t) => {
  const { code, io } = await runWith(t, 'listeners: {}\n', () => assert.fail('must not start'))
  assert.equal(code, 1)
  assert.match(io.err(), /listeners: /)
  assert.equal(io.handlers(), 0)
})

test('a start that fails is a failure, with no handler left behind', async (t) => {
  const { code, io } = await runWith(t, CONFIG, () => Promise.reject(new Error('address in use')))
  assert.equal(code, 'address in use')
  assert.equal(io.handlers(), 0)
})

test('a signal during the start stops the gateway as soon as there is one', async (t) => {
  const { code, io } = await runWith(t, CONFIG, async (options, io) => {
    io.signal('SIGTERM')
    const gateway = new FakeGateway(options)
    gateway.stop = async () => gateway.finish()
    return gateway
  })
  assert.equal(code, 0)
  assert.doesNotMatch(io.err(), /is serving/)
})
