import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  mergeFromJson,
  type Registry,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import type { Binding } from './bindings.ts'
import { FieldError, findField, putText, resolveField } from './fields.ts'
import { readVariable } from './path-template.ts'

/** Requests and responses between JSON and protobuf (the JSON mapping of proto3). */

export interface JsonOptions {
  readonly registry: Registry
  /** Fields that a message does not have are left out; otherwise the request is refused. */
  readonly ignoreUnknown: boolean
  /** Write fields that have their default value, too. */
  readonly emitDefaults: boolean
}

/** What the URL says: the values of the template and of the query, as JSON to lay over the message; null: nothing. Throws FieldError. */
export function readUrl(binding: Binding, segments: readonly string[], query: string, options: JsonOptions): JsonObject | null {
  let json: JsonObject | null = null
  for (const { variable, way } of binding.variables) {
    const text = readVariable(variable, segments)
    if (text === null) throw new FieldError(variable.field, 'is not well encoded in the path')
    json ??= {}
    putText(json, way, text)
  }
  if (query === '') return json
  const bound = boundNames(binding)
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decodeQuery(equals === -1 ? pair : pair.slice(0, equals))
    const text = decodeQuery(equals === -1 ? '' : pair.slice(equals + 1))
    if (name === null || text === null) throw new FieldError(name ?? '', 'the query is not well encoded')
    const way = binding.body === '*' ? 'the message is the body of the request' : resolveField(binding.method.input, name)
    if (typeof way === 'string' || bound.has(way.map((field) => field.name).join('.')) || way[0] === binding.body) {
      if (options.ignoreUnknown) continue
      throw new FieldError(name, `is no parameter of the query: ${typeof way === 'string' ? way : 'its value comes from elsewhere'}`)
    }
    json ??= {}
    putText(json, way, text)
  }
  return json
}

const NONE: ReadonlySet<string> = new Set()

function boundNames({ variables }: Binding): ReadonlySet<string> {
  return variables.length === 0 ? NONE : new Set(variables.map(({ way }) => way.map((field) => field.name).join('.')))
}

function decodeQuery(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return null
  }
}

/** The message of a request. `body`: its JSON, or '' for none; `url`: see `readUrl`. Throws FieldError. */
export function encodeRequest(binding: Binding, url: JsonObject | null, body: string, options: JsonOptions): Uint8Array {
  const { input } = binding.method
  const message = create(input)
  if (body !== '') {
    if (binding.body === null) throw new FieldError('', 'this method takes no body')
    const json = parseJson(body)
    merge(input, message, binding.body === '*' ? json : { [binding.body.jsonName]: json }, options)
  }
  if (url !== null) merge(input, message, url, options)
  return toBinary(input, message)
}

function parseJson(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch (error) {
    throw new FieldError('', `the body is not JSON: ${(error as Error).message}`)
  }
}

/** Lays JSON over a message. Throws FieldError. */
export function merge(desc: DescMessage, message: ReturnType<typeof create>, json: JsonValue, options: JsonOptions): void {
  const readOptions = { registry: options.registry, ignoreUnknownFields: options.ignoreUnknown }
  try {
    mergeFromJson(desc, message, json, readOptions)
  } catch (error) {
    const { path, reason } = locate(desc, json, readOptions, '', (error as Error).message, MAX_LOCATE_DEPTH)
    throw new FieldError(path, tidy(reason))
  }
}

const MAX_LOCATE_DEPTH = 30

interface ReadOptions {
  registry: Registry
  ignoreUnknownFields: boolean
}

/** Finds the field that could not be read: the library names its message, but not the way to it. Only runs for errors. */
function locate(
  desc: DescMessage,
  json: JsonValue,
  options: ReadOptions,
  at: string,
  reason: string,
  depth: number,
): { path: string; reason: string } {
  const whole = { path: at, reason }
  if (typeof json !== 'object' || json === null || Array.isArray(json) || desc.typeName.startsWith('google.protobuf.') || depth === 0)
    return whole
  for (const [key, value] of Object.entries(json)) {
    const path = at === '' ? key : `${at}.${key}`
    const field = findField(desc, key)
    if (field === undefined) {
      if (!options.ignoreUnknownFields && !key.startsWith('[')) return { path, reason: `${desc.typeName} has no such field` }
      continue
    }
    const failure = failureOf(() => fromJson(desc, { [key]: value }, options))
    if (failure === null) continue
    for (const [step, inner] of elementsOf(field, value)) {
      const { message } = field
      const innerFailure = message === undefined ? null : failureOf(() => fromJson(message, inner, options))
      if (message !== undefined && innerFailure !== null) return locate(message, inner, options, path + step, innerFailure, depth - 1)
    }
    return { path, reason: failure }
  }
  return whole
}

/** The messages in the value of a field, and the way to each. */
function* elementsOf(field: DescField, value: JsonValue): Generator<[string, JsonValue]> {
  if (field.message === undefined || typeof value !== 'object' || value === null) return
  if (field.fieldKind === 'message') yield ['', value]
  else if (field.fieldKind === 'list' && Array.isArray(value)) for (const [i, element] of value.entries()) yield [`[${i}]`, element]
  else if (field.fieldKind === 'map' && !Array.isArray(value))
    for (const [key, element] of Object.entries(value)) yield [`.${key}`, element]
}

function failureOf(read: () => unknown): string | null {
  try {
    read()
    return null
  } catch (error) {
    return (error as Error).message
  }
}

/** What the library says, without the names it puts before it. */
function tidy(reason: string): string {
  const [all, name, value] =
    /^cannot decode (?:message|enum) (\S+) from JSON: (null|true|false|-?\d+|".*"|Array\(\d+\))$/s.exec(reason) ?? []
  if (all !== undefined) return `${value?.startsWith('Array') === true ? 'a list' : value} is no ${name}`
  return reason.replace(/^cannot decode (?:field|message|enum) \S+ from JSON: /, '')
}

/** The JSON of a response. Throws when the bytes are no such message. */
export function decodeResponse(binding: Binding, bytes: Uint8Array, options: JsonOptions): string {
  const { method, responseBody } = binding
  const { registry, emitDefaults } = options
  const message = fromBinary(method.output, bytes)
  const json = toJson(method.output, message, { registry, alwaysEmitImplicit: emitDefaults }) as JsonValue
  if (responseBody === null) return JSON.stringify(json)
  let part = (json as JsonObject)[responseBody.jsonName]
  // A field that is the response is written, whatever its value.
  part ??= (toJson(method.output, message, { registry, alwaysEmitImplicit: true }) as JsonObject)[responseBody.jsonName]
  return JSON.stringify(part ?? (responseBody.fieldKind === 'message' ? {} : null))
}
