/** The schema of a configuration file as JSON Schema (draft 2020-12), for editors. */
import { z } from 'zod'
import { configSchema } from './schema.ts'

export interface JsonSchema {
  $ref?: string
  $defs?: Record<string, JsonSchema>
  title?: string
  description?: string
  type?: string | string[]
  default?: unknown
  enum?: unknown[]
  const?: unknown
  pattern?: string
  minimum?: number
  maximum?: number
  required?: string[]
  properties?: Record<string, JsonSchema>
  additionalProperties?: JsonSchema | boolean
  propertyNames?: JsonSchema
  items?: JsonSchema
  anyOf?: JsonSchema[]
  [other: string]: unknown
}

/** What a user may write, exactly: without functions, which only a module can hold. */
export function createJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(configSchema, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' }) as JsonSchema
  return withoutFunctions(schema) as JsonSchema
}

function withoutFunctions(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => (item as JsonSchema | null)?.title !== 'Function').map(withoutFunctions)
  if (typeof value !== 'object' || value === null) return value
  // A union told apart by a key comes as oneOf; its options exclude each other either way.
  const union = 'properties' in value ? 'oneOf' : 'anyOf'
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key === 'oneOf' ? union : key, withoutFunctions(item)]))
}

/** The text of docs/sluice.schema.json. Wherever a value may stand, `${...}` may stand too. */
export function generateJsonSchema(): string {
  const { $schema, ...schema } = createJsonSchema()
  const root = {
    $schema,
    title: 'Sluice configuration',
    description: 'The configuration of the Sluice gateway. Every value may hold ${VAR}, ${VAR:-default} or ${file:/path}.',
    ...(allowExpressions(schema) as JsonSchema),
  }
  return `${JSON.stringify(root, null, 2)}\n`
}

const EXPRESSION = '\\$\\{'

/** JSON Schema sees the file before substitution: a number may still be the text `${PORT}`. */
function allowExpressions(schema: JsonSchema): JsonSchema {
  const result: JsonSchema = { ...schema }
  for (const key of ['properties', '$defs'] as const) {
    const map = result[key]
    if (map !== undefined) result[key] = Object.fromEntries(Object.entries(map).map(([name, inner]) => [name, allowExpressions(inner)]))
  }
  if (typeof result.additionalProperties === 'object') result.additionalProperties = allowExpressions(result.additionalProperties)
  if (result.items !== undefined) result.items = allowExpressions(result.items)
  if (result.anyOf !== undefined) result.anyOf = result.anyOf.map(allowExpressions)
  return allowExpressionHere(result)
}

function allowExpressionHere(schema: JsonSchema): JsonSchema {
  const { type, pattern, enum: values, const: value, ...rest } = schema
  if (values !== undefined || value !== undefined) {
    const fixed: JsonSchema = { ...(type === undefined ? {} : { type }), ...(values === undefined ? { const: value } : { enum: values }) }
    return { ...rest, anyOf: [fixed, { type: 'string', pattern: EXPRESSION }] }
  }
  const types = type === undefined ? [] : [type].flat()
  if (types.includes('string')) return pattern === undefined ? schema : { ...schema, pattern: `${pattern}|${EXPRESSION}` }
  if (types.some((one) => one === 'integer' || one === 'number' || one === 'boolean' || one === 'null')) {
    return { ...schema, type: [...types, 'string'], pattern: EXPRESSION }
  }
  return schema
}
