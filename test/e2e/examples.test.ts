import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { requirePrograms } from '../support/programs.ts'
import { curl } from '../support/run.ts'
import { LAUNCHER, runSluice, startSluice } from '../support/sluice.ts'
import { startUpstream } from '../support/upstream.ts'
import { waitFor } from '../support/wait.ts'

requirePrograms(['curl'])

const EXAMPLES = new URL('../../examples/', import.meta.url)

test('the quickstart answers through its service', async (t) => {
  const upstreams = await Promise.all(
    ['first', 'second'].map((name) => startUpstream(t, (request, response) => response.end(`${name} got ${request.url}`))),
  )
  let text = readFileSync(new URL('quickstart/sluice.yaml', EXAMPLES), 'utf8')
  // The same configuration on ports that are free.
  for (const [index, { address }] of upstreams.entries()) text = text.replace(`127.0.0.1:300${index + 1}`, address)
  const sluice = await startSluice(t, text.replace(':8080', '127.0.0.1:0'))
  const answers = [await curl(`${sluice.url}/a?b=c`), await curl(`${sluice.url}/a?b=c`)]
  assert.deepEqual(answers.sort(), ['first got /a?b=c', 'second got /a?b=c'])
})

test('the demo answers within seconds as its text promises, and ends in order', async (t) => {
  const child = spawn(process.execPath, [LAUNCHER, 'demo'], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  await waitFor('the demo', () => out.includes('The access log follows.') || child.exitCode !== null)
  assert.equal(child.exitCode, null, err)
  assert.match(out, /The gateway is at http:\/\/127\.0\.0\.1:8080\. Try in another terminal:/)
  assert.match(out, /Admin: http:\/\/127\.0\.0\.1:9900 /)

  const gateway = 'http://127.0.0.1:8080'
  const ask = (path: string, ...options: string[]) => curl('-i', ...options, `${gateway}${path}`)
  const echoes = [await ask('/anything?a=1'), await ask('/anything?a=1')]
  for (const name of ['echo-1', 'echo-2'])
    assert.ok(
      echoes.some((text) => text.includes(`x-service: ${name}`)),
      name,
    )
  for (const text of echoes) assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*x-demo: sluice\r\n[\s\S]*"x-forwarded-for": "127\.0\.0\.1"/i)
  const user = await ask('/users/7')
  assert.match(user, /"path": "\/profiles\/7"/)
  assert.match(user, /"x-route": "users"/)
  assert.equal((await ask('/stream?count=3&ms=20', '-N')).split('\ndata: ').length, 4)
  assert.match(await ask('/slow?ms=50'), /"delayMs": 50/)
  assert.match(await ask('/failing/503'), /^HTTP\/1\.1 503 /)
  for (const how of ['reset', 'garbage']) assert.match(await ask(`/failing/${how}`), /^HTTP\/1\.1 502 [\s\S]*application\/problem\+json/)
  assert.match(await ask('/failing/hang'), /^HTTP\/1\.1 504 /)
  // 18: the body is too short; 56: the connection was reset.
  await assert.rejects(ask('/failing/truncate'), /ended with (18|56)/)
  assert.match(await ask('/old', '-L'), /^HTTP\/1\.1 308 [\s\S]*hello from sluice\n$/)
  const certificate = /curl --cacert (\S+) https:/.exec(out)?.[1] ?? assert.fail(out)
  assert.match(await curl('--cacert', certificate, 'https://localhost:8443/anything'), /"x-forwarded-proto": "https"/i)
  assert.match(await curl('http://127.0.0.1:9900/readyz'), /ready/)

  const second = await runSluice(['demo'])
  assert.equal(second.code, 1)
  assert.match(second.stderr, /^sluice: port 900\d, where the demo starts its service \S+, is taken/)

  child.kill('SIGINT')
  assert.equal(await ended, 0)
  assert.equal(existsSync(certificate), false, 'the key of the demo does not stay behind')
})
