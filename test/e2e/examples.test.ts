import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { requirePrograms } from '../support/programs.ts'
import { curl, runProgram } from '../support/run.ts'
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

test('the filter of the README runs where no package is installed', async (t) => {
  const upstream = await startUpstream(t, (_, response) => response.end('through\n'))
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const shown = /^```ts\n([\s\S]*?)^```/m.exec(readme)?.[1] ?? assert.fail('the README shows a filter')
  assert.match(shown, /from 'sluice'/)
  const text = shown
    .replace('127.0.0.1:9001', upstream.address)
    .replace(
      "listeners: { web: { address: ':8080' } }",
      "admin: { address: '127.0.0.1:0' }, listeners: { web: { address: '127.0.0.1:0' } }",
    )
  const sluice = await startSluice(t, text, { fileName: 'sluice.config.ts' })
  assert.match(await curl('-i', `${sluice.url}/users`), /^HTTP\/1\.1 401 [\s\S]*no key\n$/)
  assert.match(
    await curl('-i', '-H', 'X-Key: open sesame', `${sluice.url}/users`),
    /^HTTP\/1\.1 200 [\s\S]*x-served-by: sluice[\s\S]*through\n$/i,
  )
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
  assert.match(await ask('/anything', '--http2-prior-knowledge'), /^HTTP\/2 200/)

  // The longer commands, as a shell runs them.
  const commands = [...out.matchAll(/^ {2}# .*\n {2}(.*)$/gm)].map((match) => match[1] as string)
  const [webSocket = '', grpc = '', tcp = ''] = await Promise.all(
    commands.map(async (command) => {
      const { stdout, stderr } = await runProgram('/bin/sh', ['-c', command])
      return stdout + stderr
    }),
  )
  assert.equal(commands.length, 3)
  assert.match(webSocket, /^HTTP\/1\.1 101 [\s\S]*hello from echo-\d; what you send comes back/)
  assert.match(grpc, /ping[\s\S]*grpc-status: 0/)
  assert.equal(tcp, 'hello\n')
  const client = new WebSocket('ws://127.0.0.1:8080/chat')
  const messages: string[] = []
  client.on('message', (data) => void messages.push(String(data)))
  await once(client, 'open')
  client.send('one')
  client.send('x'.repeat(125))
  await waitFor('the messages', () => messages.length === 3)
  assert.deepEqual(messages.slice(1), ['one', 'x'.repeat(125)])
  client.ping('p')
  assert.equal(String((await once(client, 'pong'))[0]), 'p')
  client.send('x'.repeat(126))
  assert.equal((await once(client, 'close'))[0], 1009)

  const second = await runSluice(['demo'])
  assert.equal(second.code, 1)
  assert.match(second.stderr, /^sluice: port 900\d, where the demo starts its service \S+, is taken/)

  child.kill('SIGINT')
  assert.equal(await ended, 0)
  assert.equal(existsSync(certificate), false, 'the key of the demo does not stay behind')
})
