import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findImports, maskSource } from './source.ts'

test('comments, strings and regular expressions are blanked, code and line ends stay', () => {
  const source = ['a() // Date.now()', "b('Date.now()', \"it's\")", '/* Date.now()\n*/ c(/[/\'"]Date.now/g) / 2 / d'].join('\n')
  const masked = maskSource(source)
  assert.equal(masked.length, source.length)
  assert.equal(masked.split('\n').length, source.split('\n').length)
  assert.doesNotMatch(masked, /Date/)
  for (const kept of ['a() ', "b('", 'c(', ') / 2 / d']) assert.ok(masked.includes(kept), kept)
})

test('the code inside a template placeholder stays', () => {
  const masked = maskSource('const x = `Date.now() $' + '{Math.random()} y`')
  assert.match(masked, /Math\.random/)
  assert.doesNotMatch(masked, /Date/)
})

test('an escaped quote does not end a string', () => {
  assert.equal(maskSource("f('a\\'b') + g"), "f('    ') + g")
})

test('every form of import is found with its line', () => {
  const source = `import a, { b } from './a.ts'
import type { C } from "./c.ts"
import './side.ts'
export * from './d.ts'
export type { E } from './e.ts'
export {
  f,
} from './f.ts'
const g = await import('./g.ts')
new Worker(new URL('./worker.ts', import.meta.url))
new URL('http://example.com')
// import './comment.ts'
const text = "import './string.ts'"
`
  assert.deepEqual(findImports(source), [
    { specifier: './a.ts', line: 1, typeOnly: false },
    { specifier: './c.ts', line: 2, typeOnly: true },
    { specifier: './side.ts', line: 3, typeOnly: false },
    { specifier: './d.ts', line: 4, typeOnly: false },
    { specifier: './e.ts', line: 5, typeOnly: true },
    { specifier: './f.ts', line: 6, typeOnly: false },
    { specifier: './g.ts', line: 9, typeOnly: false },
    { specifier: './worker.ts', line: 10, typeOnly: false },
  ])
})
