import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { createFakeIo, makeFolder } from '../../../test/support/command-io.ts'
import { rawRequest } from '../../../test/support/raw.ts'
import { checkCommand } from '../check.ts'
import { createEcho } from './echo.ts'
import { failing } from './failing.ts'
import { type DemoHandler, startDemoService } from './service.ts'
import { DEMO_SERVICES, startDemoServices } from './services.ts'
import { slow } from './slow.ts'

const CONFIG = new URL('../../../examples/demo/sluice.yaml', import.meta.url)

async function start(t: TestContext, handler: DemoHandler): Promise<number> {
  const service = await startDemoService('test', 0, handler)
  t.after(() => service.close())
  return service.port
}

test('the echo tells what it received', async (t) => {
  const port = await start(t, createEcho('echo-1'))
  const response = await fetch(`http://127.0.0.1:${port}/a/b?c=1`, { method: 'POST', body: 'hi', headers: { 'x-test': 'yes' } })
  assert.equal(response.headers.get('x-service'), 'test')
  const { headers, ...echo } = (await response.json()) as { headers: Record<string, string> }
  assert.deepEqual(echo, { service: 'echo-1', method: 'POST', path: '/a/b', query: { c: '1' }, bytes: 2, body: 'hi' })
  assert.equal(headers['x-test'], 'yes')
})

test('a large body is counted and not kept', async (t) => {
  const port = await start(t, createEcho('echo-1'))
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'x'.repeat(1_000_000) })
  const { bytes, body } = (await response.json()) as { bytes: number; body: string }
  assert.deepEqual({ bytes, body }, { bytes: 1_000_000, body: '(1000000 bytes)' })
})

test('the stream sends events one by one and ends', async (t) => {
  const port = await start(t, createEcho('echo-1'))
  const response = await fetch(`http://127.0.0.1:${port}/stream?count=3&ms=20`)
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  const events = (await response.text()).split('\n\n').filter((event) => event !== '')
  assert.equal(events.length, 3)
  assert.equal(events[2], 'id: 3\ndata: {"service":"echo-1","event":3,"of":3}')
})

test('the slow service waits as long as it is asked to', async (t) => {
  const port = await start(t, slow)
  const before = performance.now()
  const response = await fetch(`http://127.0.0.1:${port}/slow?ms=80`)
  assert.deepEqual(await response.json(), { service: 'slow', delayMs: 80 })
  assert.ok(performance.now() - before >= 75)
})

test('the failing service fails as asked', async (t) => {
  const port = await start(t, failing)
  const ask = (path: string) => rawRequest(port, `GET /failing${path} HTTP/1.1\r\nHost: x\r\n\r\n`, { timeoutMs: 300 })
  assert.match((await ask('/503')).text, /^HTTP\/1\.1 503 /)
  assert.match((await ask('')).text, /^HTTP\/1\.1 500 /)
  assert.equal((await ask('/reset')).ended, 'reset')
  assert.equal((await ask('/garbage')).text, 'this is not HTTP\r\n\r\n')
  const truncated = await ask('/truncate')
  assert.match(truncated.text, /content-length: 1000/i)
  assert.notEqual(truncated.ended, 'timeout')
  assert.deepEqual(await ask('/hang'), { text: '', ended: 'timeout' })
})

test('a taken port is told with the port and the service, and what had started is stopped', async (t) => {
  const blocker = net.createServer().listen(0, '127.0.0.1')
  t.after(() => blocker.close())
  await new Promise((resolve) => blocker.once('listening', resolve))
  const { port } = blocker.address() as net.AddressInfo
  const first = { name: 'first', port: 0, handler: slow }
  await assert.rejects(startDemoServices([first, { name: 'second', port, handler: slow }]), {
    code: 'EADDRINUSE',
    message: new RegExp(`^port ${port}, where the demo starts its service second, is taken`),
  })
})

test('the configuration of the demo is valid and names the ports of the services', async (t) => {
  const io = createFakeIo(makeFolder(t, { 'sluice.yaml': readFileSync(CONFIG, 'utf8') }))
  assert.equal(await checkCommand([], io), 0, io.err())
  for (const { port } of DEMO_SERVICES) assert.ok(readFileSync(CONFIG, 'utf8').includes(`127.0.0.1:${port}"`), `${port}`)
})
