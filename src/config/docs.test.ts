import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateConfigDocs } from './docs.ts'
import { CONFIG_EXAMPLE } from './docs-example.ts'
import { createJsonSchema, generateJsonSchema, type JsonSchema } from './json-schema.ts'
import { formatProblems, loadConfig } from './load.ts'

const unused = async () => assert.fail('nothing is read')

test('the example in the documentation is valid', async () => {
  const result = await loadConfig({
    path: 'example.yaml',
    text: CONFIG_EXAMPLE,
    env: {},
    readFile: unused,
    importModule: unused,
    cpuCount: 1,
  })
  assert.ok(result.ok, result.ok ? '' : formatProblems(result.problems))
  assert.ok(generateConfigDocs().includes(CONFIG_EXAMPLE))
})

/** Every key of the schema with its path. */
function* properties(schema: JsonSchema, path: string): Generator<[string, string, JsonSchema, boolean]> {
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    yield [`${path}.${key}`, key, property, schema.required?.includes(key) ?? false]
    yield* properties(property, `${path}.${key}`)
  }
  for (const inner of [schema.additionalProperties, schema.items, ...(schema.anyOf ?? []), ...Object.values(schema.$defs ?? {})]) {
    if (typeof inner === 'object') yield* properties(inner, `${path}[]`)
  }
}

test('every key has a description, and its own row in the documentation', () => {
  const docs = generateConfigDocs()
  let count = 0
  for (const [path, key, property] of properties(createJsonSchema(), '')) {
    assert.ok((property.description ?? '').length > 5, `${path} has no description`)
    assert.ok(docs.includes(`| \`${key}\` |`), `${path} is not documented`)
    count++
  }
  assert.ok(count > 80)
})

test('every map of keys refuses others', () => {
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const schema = value as JsonSchema
    if (schema.type === 'object' && schema.properties !== undefined) assert.equal(schema.additionalProperties, false)
    for (const inner of Object.values(value)) walk(inner)
  }
  walk(createJsonSchema())
})

test('the JSON Schema has the facts an editor needs', () => {
  const schema = JSON.parse(generateJsonSchema()) as JsonSchema
  assert.equal(schema['$schema'], 'https://json-schema.org/draft/2020-12/schema')
  assert.deepEqual(schema.required, ['listeners'])
  const listeners = schema.properties?.['listeners']?.additionalProperties as JsonSchema
  const listener = listeners.anyOf?.[0] as JsonSchema
  assert.equal(listener.properties?.['maxConnections']?.default, 10_000)
  const timeouts = listener.properties?.['timeouts']
  assert.equal(timeouts?.properties?.['head']?.default, '10s')
  assert.ok(!JSON.stringify(schema).includes('"Function"'))
  assert.ok(!JSON.stringify(schema).includes('{}]'))
})

test('the JSON Schema takes an expression wherever a value may stand', () => {
  const schema = JSON.parse(generateJsonSchema()) as JsonSchema
  const listeners = schema.properties?.['listeners']?.additionalProperties as JsonSchema
  const listener = listeners.anyOf?.[0] as JsonSchema
  assert.deepEqual(listener.properties?.['maxConnections']?.type, ['integer', 'string'])
  assert.ok(new RegExp(listener.properties?.['maxConnections']?.pattern ?? '').test('${MAX}'))
  assert.ok(new RegExp(schema.$defs?.['Duration']?.pattern ?? '').test('${TIMEOUT}'))
  assert.ok(!new RegExp(schema.$defs?.['Duration']?.pattern ?? '').test('5 seconds'))
})

test('the generators give the same text every time', () => {
  assert.equal(generateJsonSchema(), generateJsonSchema())
  assert.equal(generateConfigDocs(), generateConfigDocs())
})
