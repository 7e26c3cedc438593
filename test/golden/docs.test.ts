// What the documentation shows is true: every YAML in it is a valid configuration, or a part of one; every link leads somewhere.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { createSelfSigned } from '../../src/command/demo/certificate.ts'
import { formatProblems, loadConfig } from '../../src/config/load.ts'
import { descriptorsOf } from '../support/descriptors.ts'

const ROOT = join(import.meta.dirname, '../..')
const PAGES = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md') && name !== 'CHANGELOG.md'),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]
const { cert, key } = createSelfSigned({ names: ['a.test'], notBefore: new Date('2026-01-01'), notAfter: new Date('2049-01-01') })

type Tree = Record<string, unknown>
const asTree = (value: unknown): Tree => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Tree) : {})

/** Where a part of a configuration belongs that is shown by itself. */
const PLACES: Readonly<Record<string, (value: unknown) => Tree>> = {
  match: (match) => ({ routes: { shown: { match, to: 'shown' } } }),
  breaker: (breaker) => ({ services: { shown: { endpoints: ['127.0.0.1:1'], breaker } } }),
  filters: (filters) => ({ policies: { shown: filters } }),
  clientAuth: (clientAuth) => ({
    listeners: { shown: { address: ':1', tls: { certificates: [{ cert: 'a.crt', key: 'a.key' }], clientAuth } } },
  }),
  parent: (parent) => ({ listeners: { shown: { address: ':1', protocol: 'forward', parent } } }),
}

/** What a block shows, each as a whole configuration. */
function configurationsOf(block: string): Tree[] {
  const text = block.replaceAll('[...]', '["127.0.0.1:1"]')
  if (text.startsWith('- ')) return [complete({ policies: { shown: parse(text) } })]
  const first = /^\$?\w+/.exec(text)?.[0] ?? ''
  const place = PLACES[first]
  if (place === undefined) return [complete(asTree(parse(text)))]
  // Several with one key are several ways to write it.
  return text.split(/^(?=\w)/m).map((part) => complete(place(asTree(parse(part))[first])))
}

/** Adds what every configuration must have, and the services that are only named. */
function complete(config: Tree): Tree {
  const listeners = asTree(config['listeners'] ?? { any: { address: ':2' } })
  const services = { ...asTree(config['services']) }
  const named: unknown[] = []
  for (const { to, sni } of Object.values(listeners).map(asTree)) named.push(to, ...Object.values(asTree(sni)))
  for (const { to } of Object.values(asTree(config['routes'])).map(asTree)) named.push(to)
  for (const { fallback } of Object.values(services).map(asTree)) named.push(asTree(fallback)['to'])
  for (const name of named) {
    if (typeof name === 'string' && services[name] === undefined) services[name] = { endpoints: ['127.0.0.1:3'] }
  }
  return { ...config, listeners, services }
}

async function problemsOf(config: Tree): Promise<string> {
  const result = await loadConfig({
    path: 'shown.json',
    text: JSON.stringify(config, null, 1),
    env: { PARENT_PASSWORD: 'swordfish', ADMIN_TOKEN: 'a-token-of-some-length' },
    cpuCount: 2,
    readFile: async (path) => (path.endsWith('.crt') ? cert : path.endsWith('.key') ? key : 'swordfish-swordfish\n'),
    readBytes: async () => descriptorsOf([]),
    importModule: async () => assert.fail('a text is never imported'),
  })
  return result.ok ? '' : formatProblems(result.problems)
}

let shown = 0
for (const page of PAGES) {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const blocks = [...text.matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].map((match) => match[1] as string)
  shown += blocks.length
  if (blocks.length > 0) {
    test(`the configuration shown in ${page} is valid`, async () => {
      for (const block of blocks) {
        for (const config of configurationsOf(block)) assert.equal(await problemsOf(config), '', block)
      }
    })
  }
  test(`the links of ${page} lead somewhere`, () => {
    for (const [, target = ''] of text.replace(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? join(ROOT, page) : join(ROOT, dirname(page), path)
      assert.ok(existsSync(file), `${page} links to ${target}`)
      if (anchor !== undefined) assert.ok(anchorsOf(file).includes(anchor), `${relative(ROOT, file)} has no heading #${anchor}`)
    }
  })
}

/** As GitHub makes them. */
function anchorsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8').replace(/^```[\s\S]*?^```/gm, '')
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => match[1] as string)
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  )
}

test('a mistake in the documentation would be seen', async () => {
  assert.ok(shown >= 25, 'the blocks are found')
  assert.match(await problemsOf(configurationsOf('breaker: { errorRat: 50% }\n')[0] as Tree), /did you mean "errorRate"/)
  assert.match(await problemsOf(configurationsOf('- strip-prefx: /api\n')[0] as Tree), /did you mean "strip-prefix"/)
  assert.match(await problemsOf(configurationsOf('services: { a: { endpoints: [...], tlss: {} } }\n')[0] as Tree), /tlss: unknown key/)
})
