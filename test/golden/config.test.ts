// Golden tests of the configuration: each `*.txt` here is a file, a line `----`, and what is said about it (`ok` for nothing).
// After a wanted change of the texts: `node test/golden/config.test.ts --update`, then read the difference.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createSelfSigned } from '../../src/command/demo/certificate.ts'
import { formatProblems, loadConfig } from '../../src/config/load.ts'
import { descriptorsOf } from '../support/descriptors.ts'

const SEPARATOR = '\n----\n'
const ENV = { WEB_PORT: '8080', EMPTY: '', WORKERS: '3', DIGITS: '12345678901234567890', SERVICE: 'usres', OFF: 'null', INJECTED: '${WORKERS}' }
const FILES: Record<string, string> = {
  '/etc/sluice/token.txt': 'a-token-of-some-length\n',
  '/run/secrets/duration': 'swordfish\n',
  '/etc/sluice/crlf.txt': 'one line end is trimmed\r\n',
}

// Made anew each time: private keys are not kept in a repository, not even for tests.
const PERIOD = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2049-01-01T00:00:00Z') }
for (const name of ['a', 'b']) {
  const { cert, key } = createSelfSigned({ names: [`${name}.test`], ...PERIOD })
  FILES[`/etc/sluice/tls/${name}.crt`] = cert
  FILES[`/etc/sluice/tls/${name}.key`] = key
}
FILES['/etc/sluice/tls/disorder.crt'] = `${FILES['/etc/sluice/tls/b.crt']}${FILES['/etc/sluice/tls/a.crt']}`
FILES['/etc/sluice/tls/broken.crt'] = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
FILES['/etc/sluice/tls/encrypted.key'] = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n'

const BINARY_FILES: Record<string, Uint8Array> = {
  '/etc/sluice/good.binpb': descriptorsOf([]),
  '/etc/sluice/broken.binpb': Buffer.from('not descriptors'),
  '/etc/sluice/empty.binpb': Buffer.alloc(0),
  '/etc/sluice/imports.binpb': descriptorsOf(['b.proto']),
}

async function evaluate(name: string, text: string): Promise<string> {
  const path = name.includes('.json.') ? '/etc/sluice/sluice.json' : '/etc/sluice/sluice.yaml'
  const result = await loadConfig({
    path,
    text,
    env: ENV,
    cpuCount: 2,
    readFile: async (file) => {
      const content = FILES[file]
      if (content === undefined) throw Object.assign(new Error(`ENOENT: no such file, open '${file}'`), { code: 'ENOENT' })
      return content
    },
    readBytes: async (file) => {
      const content = BINARY_FILES[file]
      if (content === undefined) throw Object.assign(new Error(`ENOENT: no such file, open '${file}'`), { code: 'ENOENT' })
      return content
    },
    importModule: async () => assert.fail('a text is never imported'),
  })
  return result.ok ? 'ok\n' : formatProblems(result.problems).replaceAll('/etc/sluice/sluice', 'sluice')
}

const directory = import.meta.dirname
const names = readdirSync(directory).filter((name) => name.endsWith('.txt'))

if (process.argv.includes('--update')) {
  for (const name of names) {
    const [input = ''] = readFileSync(join(directory, name), 'utf8').split(SEPARATOR)
    writeFileSync(join(directory, name), input + SEPARATOR + (await evaluate(name, input)))
  }
} else {
  test('there are golden cases', () => assert.ok(names.length >= 35))
  for (const name of names) {
    test(`what is said about ${name.replace(/\.txt$/, '')} is as recorded`, async () => {
      const parts = readFileSync(join(directory, name), 'utf8').split(SEPARATOR)
      assert.equal(parts.length, 2, 'a golden file has one line ---- between input and output')
      assert.equal(await evaluate(name, parts[0]!), parts[1])
    })
  }
}
