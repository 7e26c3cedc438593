import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { parseBusyTicks, parseProcessStat, parseRssBytes, readTree, treeCpuSeconds, treeOf, treeRssBytes } from './process-tree.ts'

const LINUX = process.platform === 'linux' ? {} : { skip: 'needs /proc' }

test('a stat line is read even when the name of the program holds spaces and brackets', () => {
  const line = '42 (a) b (c)) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 3 4 20 0 5 0 1000 1 2'
  assert.deepEqual(parseProcessStat(line), { pid: 42, parentPid: 7, cpuTicks: 40 })
})

test('text that is no stat line gives nothing', () => {
  assert.equal(parseProcessStat(''), null)
  assert.equal(parseProcessStat('42 (cut off) S 7'), null)
})

test('a tree holds all descendants and nobody else', () => {
  const of = (pid: number, parentPid: number) => ({ pid, parentPid, cpuTicks: 0 })
  const all = [of(1, 0), of(5, 3), of(3, 2), of(2, 1), of(4, 2), of(9, 1)]
  const pids = treeOf(2, all).map((stat) => stat.pid)
  assert.deepEqual(pids, [2, 3, 4, 5])
  assert.deepEqual(treeOf(77, all), [])
})

test('resident memory is read from both kinds of file', () => {
  assert.equal(parseRssBytes('55d0-7ffe ---p 0 00:00 0 [rollup]\nRss:                1024 kB\nPss: 9 kB\n'), 1024 * 1024)
  assert.equal(parseRssBytes('VmSize:\t 9 kB\nVmRSS:\t   2 kB\nRssAnon:\t 1 kB\n'), 2048)
  assert.equal(parseRssBytes(''), 0)
})

test('busy time is everything but idle and waiting', () => {
  assert.equal(parseBusyTicks('cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 1 1 1 1 1 1 1 1 1 1\n'), 63)
})

test('the CPU time of a child is counted while it runs and after it has ended', LINUX, async () => {
  // The child uses 300 ms of CPU, then waits for its input to end.
  const child = 'while (process.cpuUsage().user < 300e3); console.log("burnt"); process.stdin.resume()'
  const script = `
    const { spawn } = require('node:child_process')
    const child = spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: ['pipe', 'inherit', 'inherit'] })
    child.on('exit', () => console.log('ended'))
    process.stdin.once('data', () => child.stdin.end()).on('end', () => process.exit())`
  const parent = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const pid = parent.pid!
  const own = () => readTree(pid)[0]!.cpuTicks
  let output = ''
  parent.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const printed = async (text: string) => {
    while (!output.includes(text)) await once(parent.stdout, 'data')
  }
  try {
    await printed('burnt')
    assert.equal(readTree(pid).length, 2)
    const ownBefore = own()
    const running = treeCpuSeconds(pid)
    assert.ok(running >= 0.29, `${running} s while the child runs`)
    assert.ok(treeRssBytes(pid) > 20 * 1024 * 1024)
    parent.stdin.write('end')
    await printed('ended')
    assert.equal(readTree(pid).length, 1)
    assert.ok(treeCpuSeconds(pid) >= running, 'the child took its time with it')
    assert.ok(own() > ownBefore, 'what an ended child used belongs to its parent')
  } finally {
    parent.stdin.end()
    await once(parent, 'exit')
  }
  assert.deepEqual(readTree(pid), [])
})
