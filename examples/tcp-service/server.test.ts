import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { rawRequest } from '../../test/support/raw.ts'
import { waitFor } from '../../test/support/wait.ts'

test('the TCP service answers its messages, names a bad one, and ends in order', async (t) => {
  const child = spawn(process.execPath, [`${import.meta.dirname}/server.ts`], {
    env: { ...process.env, LISTEN: '127.0.0.1:0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (printed += text))
  const port = await waitFor('the server', () => /listening on 127\.0\.0\.1:(\d+)\n/.exec(printed)?.[1])
  const answer = await rawRequest(Number(port), ['12345678\0\0\0\x05hel', 'lo12345678\0\0\0\x00'], { end: true })
  assert.deepEqual(answer, { text: '12345678\0\0\0\x075 HELLO12345678\0\0\0\x020 ', ended: 'closed' })
  await rawRequest(Number(port), 'GET / HTTP/1.1\r\n\r\n')
  await waitFor('the report', () => printed.includes('127.0.0.1: msg_header error'))
  child.kill('SIGTERM')
  assert.equal(await ended, 0)
})
