import { type DescField, type DescMessage, type JsonObject, type JsonValue, ScalarType } from '@bufbuild/protobuf'

/** Fields of messages by what a URL says of them: `book.author.name`, as named in the .proto or in JSON. */

/** A request that cannot be made into a message. */
export class FieldError extends Error {
  /** Where: `book.pages`; '' when it is about the whole. */
  readonly field: string

  constructor(field: string, reason: string) {
    super(field === '' ? reason : `${field}: ${reason}`)
    this.field = field
  }
}

/** Message types whose JSON is one text. */
const TEXT_TYPES = new Set(['google.protobuf.Timestamp', 'google.protobuf.Duration', 'google.protobuf.FieldMask'])
const WRAPPERS = new Set(
  ['Double', 'Float', 'Int64', 'UInt64', 'Int32', 'UInt32', 'Bool', 'String', 'Bytes'].map((name) => `google.protobuf.${name}Value`),
)

export function findField(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name)
}

/** The way to a field whose value can stand in a URL; a text says why there is none. */
export function resolveField(message: DescMessage, path: string): DescField[] | string {
  const way: DescField[] = []
  let current: DescMessage | undefined = message
  for (const name of path.split('.')) {
    if (current === undefined) return `${way.at(-1)?.name} has no fields`
    const field = findField(current, name)
    if (field === undefined) return `${current.typeName} has no field ${name}`
    way.push(field)
    current = field.fieldKind === 'message' && !hasTextForm(field.message) ? field.message : undefined
  }
  const leaf = way.at(-1) as DescField
  if (leaf.fieldKind === 'map' || !isText(leaf)) return `${leaf.name} cannot stand in a URL`
  return way
}

function isText(field: DescField): boolean {
  const message = field.fieldKind === 'message' || (field.fieldKind === 'list' && field.listKind === 'message') ? field.message : undefined
  return message === undefined || hasTextForm(message)
}

/** A message whose JSON is no map of its fields, but one text or number. */
function hasTextForm({ typeName }: DescMessage): boolean {
  return TEXT_TYPES.has(typeName) || WRAPPERS.has(typeName)
}

/** Puts the text of a URL into `json` where `way` leads. Throws FieldError. */
export function putText(json: JsonObject, way: readonly DescField[], text: string): void {
  let at = json
  for (let i = 0; i < way.length - 1; i++) {
    const name = (way[i] as DescField).jsonName
    at[name] ??= {}
    at = at[name] as JsonObject
  }
  const leaf = way.at(-1) as DescField
  const value = jsonOf(leaf, text, () => way.map(({ name }) => name).join('.'))
  const before = at[leaf.jsonName]
  if (leaf.fieldKind === 'list') at[leaf.jsonName] = before === undefined ? [value] : [...(before as JsonValue[]), value]
  else if (before === undefined) at[leaf.jsonName] = value
  else throw new FieldError(way.map(({ name }) => name).join('.'), 'is given twice')
}

function jsonOf(field: DescField, text: string, path: () => string): JsonValue {
  if (field.enum !== undefined) return /^-?\d+$/.test(text) ? Number(text) : text
  const scalar = field.message === undefined ? field.scalar : field.message.fields[0]?.scalar
  if (field.message !== undefined && TEXT_TYPES.has(field.message.typeName)) return text
  if (scalar !== ScalarType.BOOL) return text
  if (text === 'true') return true
  if (text === 'false') return false
  throw new FieldError(path(), `${JSON.stringify(text)} is neither true nor false`)
}
