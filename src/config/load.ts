/**
 * From a file to a GatewayConfig, or to every problem in it at once. Nothing here throws for bad input; files, modules, the
 * environment and the number of CPUs arrive as arguments.
 */
import { dirname, isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { assembleConfig } from './assemble.ts'
import { checkConfig } from './check.ts'
import type { ConfigContext } from './define.ts'
import { completeDescriptors, readDescriptorFiles } from './descriptor-files.ts'
import { describeIssues, type RawIssue } from './issues.ts'
import { FunctionMarker, readModuleValue } from './module-source.ts'
import { type ConfigPath, type ConfigProblem, formatPath, sortProblems } from './problem.ts'
import { configSchema } from './schema.ts'
import { createSubstitution, filePathOf } from './substitute.ts'
import { completeTls, readTlsFiles, type TlsFiles } from './tls-files.ts'
import type { TlsTexts } from './tls-types.ts'
import type { GatewayConfig } from './types.ts'
import { expressionsOf, offsetOfPath, parseYaml, pathKey, readYamlValue, type YamlSource } from './yaml-source.ts'

export { type ConfigProblem, formatProblems } from './problem.ts'

export interface LoadInput {
  /** The file, as the user named it; problems repeat this spelling. `.ts`, `.js`, `.mjs`, `.mts` are imported, `.json` is JSON, the rest YAML. */
  path: string
  /** The text of the file when it is at hand already; otherwise it is read. Not used for modules. */
  text?: string | undefined
  env: Readonly<Record<string, string | undefined>>
  /** Reads a text file; rejects when it cannot. The path is absolute, or relative as `path` is. */
  readFile(path: string): Promise<string>
  /** The same for a file that is no text. Left out: one cannot be read. */
  readBytes?: ((path: string) => Promise<Uint8Array>) | undefined
  /** Imports a module by its file URL and returns its namespace. A caller that reloads makes the URL unique itself. */
  importModule(url: string): Promise<unknown>
  /** What `workers: auto` becomes. */
  cpuCount: number
}

export type LoadResult =
  | {
      ok: true
      config: GatewayConfig
      /** Everything that was read, for watching: the file itself first, then the files of `${file:...}`, then those of TLS. */
      files: string[]
      /** The file URL of the module when the configuration holds functions to be looked up in it; null otherwise. */
      module: string | null
      /** What stands in the files of TLS. */
      tls: TlsTexts
    }
  | { ok: false; problems: ConfigProblem[]; files: string[] }

/** Loads a configuration. All problems are reported together, sorted by place. */
export async function loadConfig(input: LoadInput): Promise<LoadResult> {
  const files = [input.path]
  try {
    return /\.[cm]?[jt]s$/.test(input.path) ? await loadModule(input, files) : await loadText(input, files)
  } catch (reason) {
    // A defect here must not take a running gateway down with it.
    return failure(files, [problemOfFile(input.path, `could not be loaded: ${messageOf(reason)}`)])
  }
}

function failure(files: string[], problems: ConfigProblem[]): LoadResult {
  return { ok: false, problems: sortProblems(problems), files }
}

function problemOfFile(file: string, message: string): ConfigProblem {
  return { file, line: 0, column: 0, path: '', message, sourceLine: '' }
}

function messageOf(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason)
}

/** The reason in words, without the path that Node repeats. */
function readFailure(reason: unknown): string {
  const code = (reason as { code?: unknown } | null)?.code
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read (permission denied)'
  if (code === 'EISDIR') return 'is a directory'
  return `cannot be read: ${messageOf(reason)}`
}

async function loadModule(input: LoadInput, files: string[]): Promise<LoadResult> {
  const url = pathToFileURL(input.path).href
  let exported: unknown
  try {
    const namespace = (await input.importModule(url)) as { default?: unknown } | null | undefined
    exported = namespace?.default
    if (exported === undefined)
      return failure(files, [problemOfFile(input.path, 'has no default export; write "export default defineConfig({ ... })"')])
    const context: ConfigContext = { env: input.env }
    if (typeof exported === 'function') exported = await exported(context)
    else exported = await exported
  } catch (reason) {
    return failure(files, [problemOfFile(input.path, `cannot be imported: ${messageOf(reason)}`)])
  }
  const read = readModuleValue(exported)
  const outcome = evaluate(read.value, input.cpuCount, { retypable: new Map(), secret: new Set() })
  const tls = await addTls(input, read.value, outcome, files)
  const issues = [...read.problems.map(({ path, message }): RawIssue => ({ path, part: 'value', message })), ...outcome.issues]
  if (issues.length > 0 || outcome.config === null) {
    return failure(
      files,
      issues.map(({ path, message }) => ({ ...problemOfFile(input.path, message), path: formatPath(path) })),
    )
  }
  return { ok: true, config: outcome.config, files, module: holdsFunction(read.value) ? url : null, tls: tls.texts }
}

function holdsFunction(value: unknown): boolean {
  if (value instanceof FunctionMarker) return true
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsFunction)
}

async function loadText(input: LoadInput, files: string[]): Promise<LoadResult> {
  let text = input.text
  if (text === undefined) {
    try {
      text = await input.readFile(input.path)
    } catch (reason) {
      return failure(files, [problemOfFile(input.path, readFailure(reason))])
    }
  }
  text = text.replace(/^\ufeff/, '')
  const source = parseYaml(text)
  if ('failure' in source) return failure(files, [problemOfFile(input.path, source.failure)])
  const place = createPlacer(input.path, text, source)
  if (!source.usable)
    return failure(
      files,
      source.problems.map(({ offset, path, message }) => place(offset, path, message)),
    )
  const substitution = createSubstitution({ env: input.env, files: await readReferences(input, source, files), source: text })
  const read = readYamlValue(source, substitution)
  const problems = read.problems.map(({ offset, path, message }) => place(offset, path, message))
  if (read.tooMany) return failure(files, problems)
  const outcome = evaluate(read.value, input.cpuCount, read)
  const tls = await addTls(input, read.value, outcome, files)
  for (const { path, part, message } of outcome.issues) {
    if (!read.unread.has(pathKey(path))) problems.push(place(offsetOfPath(source, path, part), path, message))
  }
  if (problems.length > 0 || outcome.config === null) return failure(files, problems)
  return { ok: true, config: outcome.config, files, module: null, tls: tls.texts }
}

/** The files of TLS and of descriptors, with what is wrong in them; what they say goes into the configuration. */
async function addTls(input: LoadInput, raw: unknown, outcome: Outcome, files: string[]): Promise<TlsFiles> {
  const resolvePath = (path: string) => resolve(dirname(input.path), path)
  const tls = await readTlsFiles(raw, { resolve: resolvePath, readFile: (path) => input.readFile(path), readFailure })
  await readDescriptorFiles(raw, tls, { resolve: resolvePath, readBytes: input.readBytes ?? null, readFailure })
  files.push(...tls.paths)
  outcome.issues.push(...tls.issues)
  if (outcome.config !== null && tls.issues.length === 0) {
    completeTls(outcome.config, tls)
    completeDescriptors(outcome.config, tls)
  }
  return tls
}

type FileTexts = Map<string, { text: string } | { failure: string }>

/** Reads each file a `${file:...}` names, once. Paths are relative to the configuration file. */
async function readReferences(input: LoadInput, source: YamlSource, files: string[]): Promise<FileTexts> {
  const texts: FileTexts = new Map()
  for (const inner of expressionsOf(source.document)) {
    const path = filePathOf(inner)
    if (path === null || texts.has(path)) continue
    const full = isAbsolute(path) ? path : resolve(dirname(input.path), path)
    files.push(full)
    try {
      texts.set(path, { text: await input.readFile(full) })
    } catch (reason) {
      texts.set(path, { failure: readFailure(reason) })
    }
  }
  return texts
}

function createPlacer(
  file: string,
  text: string,
  source: YamlSource,
): (offset: number, path: ConfigPath, message: string) => ConfigProblem {
  const lines = text.split(/\r\n|\n|\r/)
  return (offset, path, message) => {
    // An error at the end of the file is on the last line that says something.
    const { line, col } = source.lines.linePos(Math.min(offset, text.length))
    return { file, line: Math.max(1, line), column: Math.max(1, col), path: formatPath(path), message, sourceLine: lines[line - 1] ?? '' }
  }
}

interface Origin {
  retypable: ReadonlyMap<string, { path: ConfigPath; typed: unknown }>
  secret: ReadonlySet<string>
}

interface Outcome {
  config: GatewayConfig | null
  issues: RawIssue[]
}

/** From plain data to a configuration, or to all that is wrong with it. `raw` may be changed: texts become what they spell where text is wrong. */
function evaluate(raw: unknown, cpuCount: number, origin: Origin): Outcome {
  const isSecret = (path: ConfigPath) => origin.secret.has(pathKey(path))
  let result = configSchema.safeParse(raw)
  let issues = describeIssues(result.error?.issues ?? [], raw, isSecret)
  if (retype(raw, issues, origin)) {
    result = configSchema.safeParse(raw)
    issues = describeIssues(result.error?.issues ?? [], raw, isSecret)
  }
  issues.push(...checkConfig(raw))
  return { config: result.success && issues.length === 0 ? assembleConfig(result.data, cpuCount) : null, issues }
}

/** Where a substituted text was refused, puts the number, true, false or null it spells in its place. True when any was. */
function retype(raw: unknown, issues: readonly RawIssue[], origin: Origin): boolean {
  let changed = false
  for (const { path } of issues) {
    const entry = origin.retypable.get(pathKey(path))
    if (entry === undefined) continue
    let parent = raw
    for (const step of path.slice(0, -1)) parent = (parent as Record<string | number, unknown>)[step]
    const key = path.at(-1)
    if (key === undefined || typeof parent !== 'object' || parent === null) continue
    ;(parent as Record<string | number, unknown>)[key] = entry.typed
    changed = true
  }
  return changed
}
