import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ERROR_KINDS } from '../src/base/error.ts'
import { generateErrorsDocs } from './errors-doc.ts'
import { checkGenerated, writeGenerated } from './generate.ts'

function makeRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'generate-'))
  t.after(() => rmSync(root, { recursive: true }))
  return root
}

const FILE = { path: 'docs/a.md', generate: async () => 'one\ntwo\n' }

test('a missing file is reported, and writing makes it right', async (t) => {
  const root = makeRoot(t)
  assert.deepEqual(await checkGenerated(root, [FILE]), ['docs/a.md: missing; run "npm run generate"'])
  assert.deepEqual(await writeGenerated(root, [FILE]), ['docs/a.md'])
  assert.equal(readFileSync(join(root, 'docs/a.md'), 'utf8'), 'one\ntwo\n')
  assert.deepEqual(await checkGenerated(root, [FILE]), [])
  assert.deepEqual(await writeGenerated(root, [FILE]), [])
})

test('a file that differs is reported with the first line that does', async (t) => {
  const root = makeRoot(t)
  await writeGenerated(root, [FILE])
  writeFileSync(join(root, 'docs/a.md'), 'one\nTWO\n')
  assert.deepEqual(await checkGenerated(root, [FILE]), ['docs/a.md:2: differs from the code; run "npm run generate"'])
})

test('a generator that throws is reported and does not hide the others', async (t) => {
  const broken = {
    path: 'docs/b.md',
    generate: async () => {
      throw new Error('no such module')
    },
  }
  const problems = await checkGenerated(makeRoot(t), [broken, FILE])
  assert.equal(problems.length, 2)
  assert.match(problems[0]!, /docs\/b\.md: its generator failed: no such module/)
})

test('the error table has one row for each code, with status, flag and source', () => {
  const text = generateErrorsDocs()
  for (const code of Object.keys(ERROR_KINDS)) assert.equal(text.split(`| \`${code}\` |`).length, 2, code)
  assert.match(text, /\| `route_not_found` \| 404 Not Found \| NR \| downstream \| No route matches the request\. \|/)
})

test('a pipe in a meaning does not break the table', () => {
  const text = generateErrorsDocs({ x: { http: 400, source: 'gateway', flag: 'X', title: 'T', doc: 'a | b' } })
  assert.match(text, /a \\\| b \|\n$/)
})
