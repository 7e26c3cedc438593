import { type DescEnum, type DescField, type DescMessage, type JsonObject, ScalarType } from '@bufbuild/protobuf'
import type { Binding, Transcoding } from './bindings.ts'
import { Comments } from './comments.ts'
import { resolveField } from './fields.ts'
import { givesRawBody, takesRawBody } from './http-body.ts'
import type { TemplateVariable } from './path-template.ts'

/** An OpenAPI 3.1 document of what can be called, in the JSON mapping of proto3. */
export function createOpenApi({ bindings, registry }: Transcoding): JsonObject {
  const comments = new Comments()
  const schemas = new Schemas(comments)
  const paths: Record<string, JsonObject> = {}
  for (const binding of bindings) {
    const path = pathOf(binding)
    paths[path] ??= {}
    const item = paths[path]
    // What can be called with every method is shown with one.
    const method = binding.httpMethod === '*' ? 'post' : binding.httpMethod.toLowerCase()
    if (METHODS.has(method))
      item[method] = operationOf(
        binding,
        Object.keys(item).length,
        schemas,
        comments.ofMethod(registry.getService(binding.method.service), binding.method.name),
      )
  }
  const services = [...new Set(bindings.map(({ method }) => method.service))]
  return {
    openapi: '3.1.0',
    info: { title: services.join(', '), version: '1' },
    tags: services.map((name) => ({ name, ...describe(comments.ofService(registry.getService(name))) })),
    paths,
    components: { schemas: { 'google.rpc.Status': STATUS, ...schemas.all() } },
  }
}

const METHODS = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'])
const STATUS: JsonObject = {
  type: 'object',
  properties: {
    code: { type: 'integer', format: 'int32' },
    message: { type: 'string' },
    details: { type: 'array', items: { type: 'object', properties: { '@type': { type: 'string' } } } },
  },
}

/** google.api.HttpBody. */
const ANYTHING: JsonObject = { '*/*': {} }

function describe(comment: string): JsonObject {
  return comment === '' ? {} : { description: comment }
}

/** A short first paragraph says it shortly, too. */
function summarize(comment: string): JsonObject {
  const [first = ''] = comment.split('\n\n')
  const isShort = first !== '' && first.length <= MAX_SUMMARY && !first.includes('\n')
  return { ...(isShort ? { summary: first } : {}), ...describe(comment) }
}

const MAX_SUMMARY = 120

/** `/v1/{name=shelves/*}:publish` is `/v1/{name}:publish`: OpenAPI has no patterns in paths. */
function pathOf({ template }: Binding): string {
  let path = ''
  for (let i = 0; i < template.segments.length; ) {
    const variable = template.variables.find(({ from }) => from === i)
    const segment = template.segments[i]
    if (variable !== undefined) {
      path += `/{${variable.field}}`
      i = variable.to === -1 ? template.segments.length : variable.to
    } else {
      path += segment?.kind === 'literal' ? `/${segment.text}` : `/{segment${i}}`
      i++
    }
  }
  return template.verb === '' ? path : `${path}:${template.verb}`
}

function operationOf(binding: Binding, index: number, schemas: Schemas, comment: string): JsonObject {
  const { method, body, responseBody } = binding
  const operation: JsonObject = {
    operationId: `${method.service}.${method.name}${index === 0 ? '' : `.${index + 1}`}`,
    tags: [method.service],
    ...summarize(comment),
    parameters: parametersOf(binding, schemas),
    responses: {
      200: {
        description: 'The response.',
        content: givesRawBody(binding)
          ? ANYTHING
          : contentOf(responseBody === null ? schemas.message(method.output) : schemas.field(responseBody), method.isServerStreaming),
      },
      default: { description: 'An error.', content: contentOf({ $ref: '#/components/schemas/google.rpc.Status' }, false) },
    },
  }
  if (body !== null) {
    const content = takesRawBody(binding)
      ? ANYTHING
      : contentOf(body === '*' ? schemas.message(method.input) : schemas.field(body), method.isClientStreaming)
    operation['requestBody'] = { required: true, content }
  }
  return operation
}

function contentOf(schema: JsonObject, isStream: boolean): JsonObject {
  if (!isStream) return { 'application/json': { schema } }
  return { 'application/json': { schema: { type: 'array', items: schema } }, 'application/x-ndjson': { schema } }
}

function parametersOf(binding: Binding, schemas: Schemas): JsonObject[] {
  const parameters: JsonObject[] = []
  const bound = new Set<string>()
  for (const { variable, way } of binding.variables) {
    bound.add(variable.field)
    const field = way.at(-1) as DescField
    const schema = { ...schemas.field(field), ...patternOf(variable) }
    parameters.push({ name: variable.field, in: 'path', required: true, ...describe(schemas.commentOf(field)), schema })
  }
  for (const [i, segment] of binding.template.segments.entries()) {
    const isBound = binding.variables.some(({ variable: { from, to } }) => i >= from && (to === -1 || i < to))
    if (segment.kind !== 'literal' && !isBound)
      parameters.push({ name: `segment${i}`, in: 'path', required: true, schema: { type: 'string' } })
  }
  if (binding.body === '*') return parameters
  addQuery(parameters, binding.method.input, '', { bound, body: binding.body, schemas }, MAX_DEPTH)
  return parameters
}

/** Messages in messages beyond this are not shown as parameters. */
const MAX_DEPTH = 3

interface QueryPlace {
  bound: ReadonlySet<string>
  body: DescField | null
  schemas: Schemas
}

function addQuery(parameters: JsonObject[], message: DescMessage, prefix: string, place: QueryPlace, depth: number): void {
  for (const field of message.fields) {
    const name = prefix + field.name
    if (field === place.body || place.bound.has(name) || field.fieldKind === 'map') continue
    const isNested = field.message !== undefined && !Object.hasOwn(WELL_KNOWN, field.message.typeName)
    const about = describe(place.schemas.commentOf(field))
    // A list of messages, or one that has no text, cannot be in a query.
    const isText = typeof resolveField(message, field.name) !== 'string'
    if (isText) parameters.push({ name: prefix + field.name, in: 'query', ...about, schema: place.schemas.field(field) })
    else if (isNested && field.fieldKind === 'message' && depth > 1)
      addQuery(parameters, field.message as DescMessage, `${name}.`, place, depth - 1)
  }
}

function patternOf({ pattern }: TemplateVariable): JsonObject {
  if (pattern === '*') return {}
  const parts = pattern
    .split('/')
    .map((part) => (part === '**' ? '.+' : part === '*' ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
  return { pattern: `^${parts.join('/')}$` }
}

const NUMBER_TEXT = { type: 'string', format: 'int64' }
const WELL_KNOWN: Readonly<Record<string, JsonObject>> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Duration': { type: 'string', examples: ['1.5s'] },
  'google.protobuf.FieldMask': { type: 'string' },
  'google.protobuf.Any': { type: 'object', properties: { '@type': { type: 'string' } } },
  'google.protobuf.Struct': { type: 'object' },
  'google.protobuf.Value': {},
  'google.protobuf.ListValue': { type: 'array' },
  'google.protobuf.Empty': { type: 'object' },
  'google.protobuf.DoubleValue': { type: 'number' },
  'google.protobuf.FloatValue': { type: 'number' },
  'google.protobuf.Int64Value': NUMBER_TEXT,
  'google.protobuf.UInt64Value': NUMBER_TEXT,
  'google.protobuf.Int32Value': { type: 'integer' },
  'google.protobuf.UInt32Value': { type: 'integer' },
  'google.protobuf.BoolValue': { type: 'boolean' },
  'google.protobuf.StringValue': { type: 'string' },
  'google.protobuf.BytesValue': { type: 'string', contentEncoding: 'base64' },
}

/** The types that are used, each once. */
class Schemas {
  readonly #all: Record<string, JsonObject> = {}
  readonly #comments: Comments

  constructor(comments: Comments) {
    this.#comments = comments
  }

  commentOf(field: DescField): string {
    return this.#comments.ofField(field)
  }

  all(): Record<string, JsonObject> {
    return this.#all
  }

  message(message: DescMessage): JsonObject {
    const { typeName } = message
    const known = Object.hasOwn(WELL_KNOWN, typeName) ? WELL_KNOWN[typeName] : undefined
    if (known !== undefined) return known
    if (!Object.hasOwn(this.#all, typeName)) {
      const properties: JsonObject = {}
      this.#all[typeName] = { type: 'object', ...describe(this.#comments.ofMessage(message)), properties }
      for (const field of message.fields) properties[field.jsonName] = { ...this.field(field), ...describe(this.commentOf(field)) }
    }
    return { $ref: `#/components/schemas/${typeName}` }
  }

  field(field: DescField): JsonObject {
    if (field.fieldKind === 'list') return { type: 'array', items: this.#value(field) }
    if (field.fieldKind === 'map') return { type: 'object', additionalProperties: this.#value(field) }
    return this.#value(field)
  }

  #value(field: DescField): JsonObject {
    if (field.message !== undefined) return this.message(field.message)
    if (field.enum !== undefined) return this.#enum(field.enum)
    return scalarOf(field.scalar as ScalarType)
  }

  #enum(type: DescEnum): JsonObject {
    if (type.typeName === 'google.protobuf.NullValue') return { type: 'null' }
    this.#all[type.typeName] ??= {
      type: 'string',
      ...describe(this.#comments.ofEnum(type)),
      enum: type.values.map(({ name }) => name),
    }
    return { $ref: `#/components/schemas/${type.typeName}` }
  }
}

function scalarOf(scalar: ScalarType): JsonObject {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: 'boolean' }
    case ScalarType.STRING:
      return { type: 'string' }
    case ScalarType.BYTES:
      return { type: 'string', contentEncoding: 'base64' }
    case ScalarType.DOUBLE:
      return { type: 'number', format: 'double' }
    case ScalarType.FLOAT:
      return { type: 'number', format: 'float' }
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return { type: 'integer', format: 'int32' }
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: 'integer', minimum: 0 }
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: 'string', format: 'uint64' }
    default:
      return NUMBER_TEXT
  }
}
