/** Writes docs/config.md from the schema: one table for each map of keys, in the order of the file. */
import { CONFIG_EXAMPLE } from './docs-example.ts'
import { createJsonSchema, type JsonSchema } from './json-schema.ts'
import { PLACEHOLDERS } from './placeholders.ts'

/** Short words for the scalars that have a name in the schema. */
const SCALAR_WORDS: Record<string, string> = {
  Duration: 'duration',
  PositiveDuration: 'duration, not 0',
  ListenAddress: 'address',
  EndpointAddress: '`host:port`',
  AddressRange: 'address range',
  Pattern: 'pattern',
  HeaderName: 'header name',
  HeaderValue: 'text',
}

/** Parts that appear in several places and get one section of their own. */
const SHARED_SECTIONS: readonly { id: string; title: string }[] = [
  { id: 'Filter', title: 'Filters' },
  { id: 'Respond', title: 'respond' },
  { id: 'Redirect', title: 'redirect' },
  { id: 'ValueCondition', title: 'Conditions on values' },
]

const INTRODUCTION = `# Configuration

This file is made from the schema by \`npm run generate\`; do not edit it.

Sluice reads one file: YAML, JSON, or a module (\`sluice.config.ts\`, \`.js\`, \`.mjs\`) whose default export is what the YAML would
say, or a function that returns it. Every key is known: one that is not is an error, with a suggestion when it is near a known one.
All problems of a file are reported at once, each with its line and column.

\`\`\`yaml
${CONFIG_EXAMPLE}\`\`\`

In an editor with a YAML language server, a first line
\`# yaml-language-server: $schema=./node_modules/sluice/docs/sluice.schema.json\` gives completion and checks while typing; in a JSON
file the key \`$schema\` does.

## Values

- **Duration**: \`250ms\`, \`5s\`, \`1.5m\`, \`1h\`, at most 576h. A number without a unit is an error, except 0.
- **Size**: \`64KiB\`, \`1MiB\`, \`1GiB\` count in 1024, \`10KB\`, \`10MB\`, \`10GB\` in 1000; a bare number is bytes.
- **Address** to listen on: \`:8080\` is every address, \`127.0.0.1:8080\` one, \`[::1]:8080\` one of IPv6; port 0 lets the system choose.
- **Pattern**: a JavaScript regular expression without slashes and flags. It is looked for anywhere; anchor it with \`^\` and \`$\`.
  Patterns run for every request: avoid nested repetitions such as \`(a+)+\`.
- **Name** of a listener, service, policy or route: at most 100 letters, digits, \`.\`, \`_\` and \`-\`.
- \`null\` turns a part off where the table says so. An empty value is null, too.

## Environment and files

In every value of a YAML or JSON file:

| written | becomes |
|---|---|
| \`\${VAR}\` | the environment variable; that it is not set is an error |
| \`\${VAR:-default}\` | the same, or the default when it is not set or empty |
| \`\${file:/run/secrets/token}\` | the content of the file, without one line end at its end; a relative path starts at the configuration file |
| \`$\${\` | a plain \`\${\` |

Keys are not substituted, and neither is \`accessLog.format\`, which has \`\${...}\` of its own. What was put in is not searched again.
In the values that a \`headers\` filter sets or adds, \`\${...}\` may also name ${PLACEHOLDERS.map((word) => `\`${word}\``).join(', ')} or \`params.NAME\`
(a parameter of the path template): these are filled in for each request, and win over variables of the same name.

A single \`$\`, as in \`to: "/$1"\`, needs no escape. Between \`{ }\` and \`[ ]\` YAML wants quotes around text with \`\${...}\`.

What comes out is text. Where text is not accepted, text that spells a number, \`true\`, \`false\` or \`null\` is taken for that:
\`maxConnections: "\${MAX}"\` works, and a token that happens to be all digits stays a token. In a module there is no substitution:
the function it exports gets \`{ env }\`.

`

/** The text of docs/config.md. */
export function generateConfigDocs(): string {
  const root = createJsonSchema()
  const defs = root.$defs ?? {}
  const writer = new DocsWriter(defs)
  writer.section('Top level', '', root)
  for (const { id, title } of SHARED_SECTIONS) writer.shared(title, defs[id])
  return `${INTRODUCTION}${writer.text.trimEnd()}\n`
}

class DocsWriter {
  text = ''
  readonly #defs: Record<string, JsonSchema>

  constructor(defs: Record<string, JsonSchema>) {
    this.#defs = defs
  }

  /** The table of a map of keys, then the sections of the maps in it. */
  section(title: string, path: string, schema: JsonSchema): void {
    const properties = Object.entries(schema.properties ?? {})
    this.text += `${/^[^.[]*(\.<name>)?$/.test(path) ? '##' : '###'} ${title}\n\n`
    if (schema.description !== undefined && path !== '') this.text += `${schema.description}\n\n`
    this.text += '| key | type | default | meaning |\n|---|---|---|---|\n'
    for (const [key, property] of properties) this.text += this.#row(key, property, schema.required?.includes(key) ?? false)
    this.text += '\n'
    for (const [key, property] of properties) this.#inner(path === '' ? key : `${path}.${key}`, property)
  }

  /** A part that is used in several places. */
  shared(title: string, schema: JsonSchema | undefined): void {
    if (schema === undefined) throw new Error(`the schema has no part for the section "${title}"`)
    this.text += `## ${title}\n\n${schema.description === undefined ? '' : `${schema.description}\n\n`}`
    for (const option of options(schema)) {
      if (option.properties === undefined) continue
      this.text += '| key | type | default | meaning |\n|---|---|---|---|\n'
      for (const [key, property] of Object.entries(option.properties))
        this.text += this.#row(key, property, option.required?.includes(key) ?? false)
      this.text += '\n'
      for (const [key, property] of Object.entries(option.properties))
        this.#inner(`${title === 'Filters' ? 'filters[]' : title}.${key}`, property)
    }
  }

  /** Sections for the maps inside a property: of it, of its entries, of its items. Shared parts have theirs elsewhere. */
  #inner(path: string, property: JsonSchema): void {
    for (const option of options(property)) {
      if (option.$ref !== undefined) continue
      if (option.properties !== undefined) this.section(titleOf(path, option), path, describedAs(option, property))
      else if (typeof option.additionalProperties === 'object') this.#inner(`${path}.<name>`, option.additionalProperties)
      else if (option.items !== undefined) this.#inner(`${path}[]`, option.items)
    }
  }

  #row(key: string, property: JsonSchema, required: boolean): string {
    const meaning = (property.description ?? '').replaceAll('|', '\\|')
    const initial = required ? 'required' : defaultText(property.default)
    return `| \`${key}\` | ${this.#typeText(property)} | ${initial} | ${meaning} |\n`
  }

  #typeText(schema: JsonSchema): string {
    if (schema.$ref !== undefined) return this.#referenceText(schema.$ref)
    if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map((option) => this.#typeText(option)))].join(' or ')
    if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ')
    if (schema.const !== undefined) return `\`${String(schema.const)}\``
    if (schema.title === 'Size') return 'size'
    if (schema.type === 'array') return schema.items === undefined ? 'empty list' : `list of ${this.#typeText(schema.items)}`
    if (schema.type === 'object') {
      return typeof schema.additionalProperties === 'object' ? `map of names to ${this.#typeText(schema.additionalProperties)}` : 'map'
    }
    if (schema.type === 'integer') return `whole number, ${schema.minimum} to ${schema.maximum}`
    if (schema.type === 'number') return 'number'
    if (schema.type === 'boolean') return '`true`, `false`'
    if (schema.type === 'null') return '`null`'
    return schema.type === 'string' ? 'text' : 'anything'
  }

  #referenceText(reference: string): string {
    const id = reference.slice(reference.lastIndexOf('/') + 1)
    const shared = SHARED_SECTIONS.find((section) => section.id === id)
    if (shared !== undefined) return `[${id === 'Filter' ? 'filter' : shared.title.toLowerCase()}](#${anchor(shared.title)})`
    const word = SCALAR_WORDS[id]
    if (word === undefined || this.#defs[id] === undefined) throw new Error(`the schema part ${id} has no word in docs.ts`)
    return word
  }
}

/** Settings that depend on the protocol have a section for each. */
function titleOf(path: string, schema: JsonSchema): string {
  const protocol = schema.properties?.['protocol']?.const
  return protocol === undefined ? `\`${path}\`` : `\`${path}\`, protocol ${String(protocol)}`
}

function anchor(title: string): string {
  return title.toLowerCase().replaceAll(' ', '-')
}

function options(schema: JsonSchema): JsonSchema[] {
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(options)
}

function describedAs(option: JsonSchema, property: JsonSchema): JsonSchema {
  return property.description === undefined ? option : { ...option, description: property.description }
}

function defaultText(value: unknown): string {
  if (value === undefined) return ''
  if (typeof value === 'object' && value !== null && Object.values(value).every((inner) => isEmpty(inner)))
    return isEmpty(value) ? emptyText(value) : ''
  return `\`${typeof value === 'string' ? (value === '' ? '""' : value) : JSON.stringify(value)}\``
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** `{}` as a default means: each key has its own. */
function emptyText(value: object): string {
  return Array.isArray(value) ? '`[]`' : '`{}`'
}
