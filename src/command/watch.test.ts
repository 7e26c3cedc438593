import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../../test/support/wait.ts'
import { watchFiles } from './watch.ts'

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'watch-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** A watch that has read its files once, and how many changes it has told. */
async function startWatch(t: TestContext, files: string[], pollMs = 600_000) {
  const state = { changes: 0 }
  const watch = watchFiles({ files, onChange: () => state.changes++, debounceMs: 20, pollMs })
  t.after(() => watch.close())
  await watch.settled()
  return { state, watch, next: (count: number) => waitFor(`change ${count}`, () => state.changes >= count) }
}

test('a file that is written again is a change, and one that gets the same content is not', async (t) => {
  const file = join(makeFolder(t), 'a.yaml')
  writeFileSync(file, 'one')
  const { state, next } = await startWatch(t, [file])
  writeFileSync(file, 'one')
  await sleep(150)
  assert.equal(state.changes, 0)
  writeFileSync(file, 'two')
  await next(1)
})

test('several writes in a row are one change', async (t) => {
  const file = join(makeFolder(t), 'a.yaml')
  writeFileSync(file, 'one')
  const { state, next } = await startWatch(t, [file])
  for (const text of ['two', 'three', 'four']) writeFileSync(file, text)
  await next(1)
  await sleep(150)
  assert.equal(state.changes, 1)
})

test('a file that is replaced by a rename is seen, again and again', async (t) => {
  const folder = makeFolder(t)
  const file = join(folder, 'a.yaml')
  writeFileSync(file, 'one')
  const { next } = await startWatch(t, [file])
  for (let round = 1; round <= 3; round++) {
    writeFileSync(`${file}.new`, `round ${round}`)
    renameSync(`${file}.new`, file)
    await next(round)
  }
})

test('a file that is deleted is no change until it is there again with another content', async (t) => {
  const file = join(makeFolder(t), 'a.yaml')
  writeFileSync(file, 'one')
  const { state, next } = await startWatch(t, [file])
  unlinkSync(file)
  await sleep(150)
  writeFileSync(file, 'one')
  await sleep(150)
  assert.equal(state.changes, 0)
  writeFileSync(file, 'two')
  await next(1)
})

test('a file that is not there at first is a change when it comes', async (t) => {
  const file = join(makeFolder(t), 'a.yaml')
  const { next } = await startWatch(t, [file])
  writeFileSync(file, 'one')
  await next(1)
})

test('the switch of a linked folder is seen, again and again, as Kubernetes updates a ConfigMap', async (t) => {
  const folder = makeFolder(t)
  const publish = (version: number) => {
    mkdirSync(join(folder, `..v${version}`))
    writeFileSync(join(folder, `..v${version}`, 'a.yaml'), `version ${version}`)
    symlinkSync(`..v${version}`, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    if (version > 1) rmSync(join(folder, `..v${version - 1}`), { recursive: true })
  }
  publish(1)
  symlinkSync('..data/a.yaml', join(folder, 'a.yaml'))
  const { next } = await startWatch(t, [join(folder, 'a.yaml')])
  for (let version = 2; version <= 4; version++) {
    publish(version)
    await next(version - 1)
  }
})

test('a change of the file that a link in another folder points to is seen', async (t) => {
  const target = join(makeFolder(t), 'real.yaml')
  writeFileSync(target, 'one')
  const link = join(makeFolder(t), 'a.yaml')
  symlinkSync(target, link)
  const { next } = await startWatch(t, [link])
  writeFileSync(target, 'two')
  await next(1)
})

test('a folder that is removed and made again is watched again', async (t) => {
  const folder = join(makeFolder(t), 'conf')
  const file = join(folder, 'a.yaml')
  mkdirSync(folder)
  writeFileSync(file, 'one')
  const { next } = await startWatch(t, [file])
  for (let round = 1; round <= 3; round++) {
    rmSync(folder, { recursive: true })
    mkdirSync(folder)
    writeFileSync(file, `round ${round}`)
    await next(2 * round - 1)
    // This one can only be told by a watcher of the new folder.
    writeFileSync(file, `round ${round}, again`)
    await next(2 * round)
  }
})

test('where no event comes, the poll finds the change', async (t) => {
  const folder = join(makeFolder(t), 'conf')
  const file = join(folder, 'a.yaml')
  mkdirSync(folder)
  writeFileSync(file, 'one')
  const { next } = await startWatch(t, [file], 50)
  rmSync(folder, { recursive: true })
  // Nobody can watch a folder that is not there.
  await sleep(150)
  mkdirSync(folder)
  writeFileSync(file, 'two')
  await next(1)
})

test('the files can be exchanged, and a closed watch is silent', async (t) => {
  const folder = makeFolder(t)
  const [a, b] = [join(folder, 'a'), join(folder, 'b')]
  writeFileSync(a, '1')
  writeFileSync(b, '1')
  const { state, watch, next } = await startWatch(t, [a])
  writeFileSync(b, '2')
  await sleep(150)
  assert.equal(state.changes, 0, 'b is not watched yet')
  watch.setFiles([b])
  await watch.settled()
  writeFileSync(a, '2')
  await sleep(150)
  assert.equal(state.changes, 0, 'a is not watched any more')
  writeFileSync(b, '3')
  await next(1)
  watch.close()
  writeFileSync(b, '4')
  await sleep(150)
  assert.equal(state.changes, 1)
})
