import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { requirePrograms } from '../../support/programs.ts'
import { runProgram } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'

const programs = requirePrograms(['redis-server', 'redis-cli', 'redis-benchmark'])

interface Redis {
  port: number
  kill(): void
}

async function startRedis(scope: CleanupScope): Promise<Redis> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'))
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const child = spawn(programs['redis-server'], args, { stdio: 'ignore' })
  const exited = new Promise((resolve) => child.once('close', resolve))
  const kill = () => void child.kill('SIGKILL')
  scope.after(async () => {
    kill()
    await exited
    rmSync(folder, { recursive: true, force: true })
  })
  await waitFor('redis-server', async () => (await cli(port, 'PING')) === 'PONG')
  return { port, kill }
}

async function cli(port: number, ...command: string[]): Promise<string> {
  const { stdout, stderr } = await runProgram(programs['redis-cli'], ['-h', '127.0.0.1', '-p', String(port), ...command])
  return (stdout + stderr).trim()
}

test('redis-cli sets and gets, and redis-benchmark runs, plain and pipelined', async (t) => {
  const redis = await startRedis(t)
  const sluice = await startSluice(t, {
    workers: 2,
    listeners: { redis: { address: '127.0.0.1:0', protocol: 'tcp', to: 'redis' } },
    services: { redis: { endpoints: [`127.0.0.1:${redis.port}`] } },
  })
  const port = sluice.port()
  assert.equal(await cli(port, 'SET', 'greeting', 'hello world'), 'OK')
  assert.equal(await cli(port, 'GET', 'greeting'), 'hello world')
  const large = 'x'.repeat(100_000)
  assert.equal(await cli(port, 'SET', 'large', large), 'OK')
  assert.equal(await cli(port, 'GET', 'large'), large)
  const subscriber = spawn(programs['redis-cli'], ['-h', '127.0.0.1', '-p', String(port), 'SUBSCRIBE', 'news'])
  t.after(() => void subscriber.kill('SIGKILL'))
  let heard = ''
  subscriber.stdout.on('data', (bytes) => (heard += String(bytes)))
  await waitFor('the subscription', () => heard.includes('subscribe'))
  assert.equal(await cli(port, 'PUBLISH', 'news', 'it works'), '1')
  await waitFor('the message', () => heard.includes('it works'))
  for (const pipeline of ['1', '16']) {
    const args = [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-n',
      '20000',
      '-c',
      '50',
      '-P',
      pipeline,
      '-t',
      'set,get,lrange_100',
      '-q',
      '-d',
      '64',
    ]
    const { stdout, stderr, code } = await runProgram(programs['redis-benchmark'], args)
    assert.equal(code, 0, stderr)
    for (const command of ['SET', 'GET', 'LRANGE_100']) assert.match(stdout, new RegExp(`${command}.*: [\\d.]+ requests per second`))
    assert.doesNotMatch(stdout + stderr, /[Ee]rror/)
  }
})

test('with one server killed, the next command goes to the other within a second', async (t) => {
  const [a, b] = [await startRedis(t), await startRedis(t)]
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { redis: { address: '127.0.0.1:0', protocol: 'tcp', to: 'redis' } },
    services: { redis: { endpoints: [`127.0.0.1:${a.port}`, `127.0.0.1:${b.port}`] } },
  })
  for (const { port } of [a, b]) assert.equal(await cli(port, 'SET', 'port', String(port)), 'OK')
  const seen = new Set([await cli(sluice.port(), 'GET', 'port'), await cli(sluice.port(), 'GET', 'port')])
  assert.equal(seen.size, 2)
  a.kill()
  for (let i = 0; i < 4; i++) {
    const startedMs = performance.now()
    assert.equal(await cli(sluice.port(), 'GET', 'port'), String(b.port))
    assert.ok(performance.now() - startedMs < 4000)
  }
})
