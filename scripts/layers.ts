// The structure check: which folder may import which, no import cycles, no clock or chance from the side, no file too long, and a
// map that names every folder. `npm run check` runs it; `node scripts/layers.ts` runs it alone.
import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join, posix } from 'node:path'
import { isStarted, listFiles, ROOT } from './files.ts'
import { findImports, type ImportedModule, maskSource } from './source.ts'

/** One broken rule. `line` starts at 1. */
export interface Violation {
  file: string
  line: number
  message: string
}

/**
 * The import order, lowest first. A folder may import from any folder of an earlier line and from itself; folders of one line do
 * not know each other. Where a lower one needs a higher one, it declares the interface it needs.
 */
export const LAYERS: readonly (readonly string[])[] = [
  ['base'],
  ['codec', 'limit', 'breaker', 'retry', 'observe', 'tcp-kit'],
  ['config'],
  ['service'],
  ['exchange'],
  ['upstream'],
  ['route', 'filter'],
  ['proxy'],
  ['listener', 'rpc'],
  ['discovery', 'admin'],
  ['worker-protocol.ts', 'ports.ts'],
  ['listener-rows.ts'],
  ['worker.ts'],
  ['worker-handle.ts'],
  ['gateway.ts'],
  ['command'],
  ['index.ts', 'embed.ts', 'tcp.ts', 'main.ts'],
]

interface BannedCall {
  pattern: RegExp
  name: string
  reason: string
}

const CLOCK_REASON = 'take a Clock (src/base/clock.ts) as an argument, so that tests and the simulator own the time'
const TIMER_REASON = 'use src/base/timers.ts: coarse shared timers cost nothing per request, and tests own them'

/** What code must not reach for by itself, because it has to arrive as an argument. */
export const BANNED_CALLS: readonly BannedCall[] = [
  { pattern: /\bDate\s*\.\s*now\b/g, name: 'Date.now', reason: CLOCK_REASON },
  { pattern: /\bnew\s+Date\s*(?:\(\s*\)|(?![\w\s(.]))/g, name: 'new Date()', reason: CLOCK_REASON },
  { pattern: /\bperformance\s*\.\s*now\b/g, name: 'performance.now', reason: CLOCK_REASON },
  { pattern: /\bprocess\s*\.\s*(?:hrtime|uptime)\b/g, name: 'process.hrtime', reason: CLOCK_REASON },
  { pattern: /(?<![\w.])(?:globalThis\s*\.\s*)?setTimeout\s*\(/g, name: 'setTimeout', reason: TIMER_REASON },
  { pattern: /(?<![\w.])(?:globalThis\s*\.\s*)?setInterval\s*\(/g, name: 'setInterval', reason: TIMER_REASON },
  {
    pattern: /\bMath\s*\.\s*random\b/g,
    name: 'Math.random',
    reason: 'take a Random (src/base/clock.ts) as an argument, so that tests can repeat it',
  },
  { pattern: /\bprocess\s*\.\s*env\b/g, name: 'process.env', reason: 'the environment arrives as an argument from src/main.ts' },
]

/** Where the banned calls are allowed: the two files that wrap them, and the outermost layer that hands them in. */
export const BANNED_CALLS_ALLOWED: readonly string[] = [
  'src/base/clock.ts',
  'src/base/timers.ts',
  'src/gateway.ts',
  'src/worker.ts',
  'src/main.ts',
  'src/command/',
]

/** node:http costs more than a whole proxy request may (docs/design), so the folders a request passes through must not import it. */
const DATA_PATH_FOLDERS = ['codec', 'exchange', 'upstream', 'route', 'filter', 'proxy', 'listener']
const SLOW_MODULES = ['node:http', 'node:https', 'node:http2']

const MAX_LINES = 500
/** Files that may be longer, each with its reason. */
export const LONG_FILES: Readonly<Record<string, string>> = {
  'src/codec/http1/head.ts': 'one pass over a message head; splitting it would split the state machine',
}

/** Runs every structure rule on the tree in `root`. */
export function checkStructure(root: string): Violation[] {
  const sources = listFiles(root, 'src', (path) => path.endsWith('.ts')).map((file) => readSource(root, file))
  const code = sources.filter((source) => !isTest(source.file))
  const manifest = readManifest(root)
  return [
    ...code.flatMap((source) => checkLayer(source, manifest)),
    ...code.flatMap(checkBannedCalls),
    ...code.flatMap(checkDataPathModules),
    ...checkPackages(code, manifest),
    ...checkCycles(code),
    ...checkLengths(root),
    ...checkMap(sources, root),
  ]
}

/** The parts of package.json that are looked at here. */
interface Manifest {
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  files?: string[]
}

function readManifest(root: string): Manifest {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
}

interface Source {
  file: string
  /** The text with comments and the contents of strings blanked out, same length and lines. */
  masked: string
  imports: ImportedModule[]
}

function readSource(root: string, file: string): Source {
  const text = readFileSync(join(root, file), 'utf8')
  return { file, masked: maskSource(text), imports: findImports(text) }
}

/** Tests and contract suites may reach for anything. */
function isTest(file: string): boolean {
  return /\.(test|contract|fuzz)\.ts$/.test(file)
}

/** `src/codec/http1/head.ts` is of `codec`; `src/main.ts` of `main.ts`. */
function layerOf(file: string): string {
  return file.split('/')[1] ?? ''
}

function rankOf(layer: string): number {
  return LAYERS.findIndex((names) => names.includes(layer))
}

function checkLayer(source: Source, manifest: Manifest): Violation[] {
  const layer = layerOf(source.file)
  const rank = rankOf(layer)
  if (rank === -1)
    return [{ file: source.file, line: 1, message: `src/${layer} has no place in the import order (LAYERS in scripts/layers.ts)` }]
  const violations: Violation[] = []
  for (const { specifier, line } of source.imports) {
    const imported = resolveImport(source.file, specifier)
    if (imported === null) continue
    const report = (message: string) => violations.push({ file: source.file, line, message })
    if (!imported.startsWith('src/')) {
      if (!isShipped(imported, manifest)) report(`src must not import ${imported}: it is not in the files of package.json`)
    } else if (isTest(imported)) report(`${imported} is a test: only tests may import it`)
    else if (layerOf(imported) !== layer && rankOf(layerOf(imported)) >= rank) {
      report(
        `src/${layer} must not import ${imported}: imports go ${layerOf(imported)} -> ${layer}; declare the interface you need here instead`,
      )
    }
  }
  return violations
}

/** Whether a file outside src is in the published package. The sources themselves are there in compiled form. */
function isShipped(file: string, { files = [] }: Manifest): boolean {
  return file === 'package.json' || files.some((entry) => file === entry || file.startsWith(`${entry}/`))
}

/** The path of a relative import from the top folder, or null for a package. */
function resolveImport(file: string, specifier: string): string | null {
  return specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : null
}

function checkBannedCalls(source: Source): Violation[] {
  if (BANNED_CALLS_ALLOWED.some((allowed) => source.file === allowed || (allowed.endsWith('/') && source.file.startsWith(allowed))))
    return []
  const violations: Violation[] = []
  for (const { pattern, name, reason } of BANNED_CALLS) {
    for (const match of source.masked.matchAll(pattern)) {
      violations.push({ file: source.file, line: lineAt(source.masked, match.index), message: `${name} is not allowed here: ${reason}` })
    }
  }
  for (const { specifier, line } of source.imports) {
    if (/^(node:)?timers(\/|$)/.test(specifier))
      violations.push({ file: source.file, line, message: `${specifier} is not allowed here: ${TIMER_REASON}` })
  }
  return violations
}

function lineAt(text: string, index: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < index; i = text.indexOf('\n', i + 1)) line++
  return line
}

function checkDataPathModules(source: Source): Violation[] {
  if (!DATA_PATH_FOLDERS.includes(layerOf(source.file))) return []
  return source.imports
    .filter(({ specifier }) => SLOW_MODULES.includes(specifier))
    .map(({ specifier, line }) => ({
      file: source.file,
      line,
      message: `${specifier} is not allowed on the data path: it costs more than a whole request may; use src/codec over node:net`,
    }))
}

function checkPackages(sources: Source[], manifest: Manifest): Violation[] {
  const shipped = new Set([...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.peerDependencies ?? {})])
  const violations: Violation[] = []
  for (const { file, imports } of sources) {
    for (const { specifier, line } of imports) {
      if (specifier.startsWith('.') || specifier.startsWith('node:')) continue
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
      if (builtinModules.includes(name)) violations.push({ file, line, message: `write node:${specifier}` })
      else if (!shipped.has(name)) violations.push({ file, line, message: `${name} is not in the dependencies of package.json` })
    }
  }
  return violations
}

/** Import cycles, each named once. Type-only imports do not exist when the program runs and may close a circle. */
function checkCycles(sources: Source[]): Violation[] {
  const edges = new Map<string, string[]>()
  for (const { file, imports } of sources) {
    const targets = imports.filter((entry) => !entry.typeOnly).map((entry) => resolveImport(file, entry.specifier))
    edges.set(
      file,
      targets.filter((path) => path !== null),
    )
  }
  const violations: Violation[] = []
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string) => {
    const start = path.indexOf(file)
    if (start !== -1) {
      violations.push({ file, line: 1, message: `import cycle: ${[...path.slice(start), file].join(' -> ')}` })
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const target of edges.get(file) ?? []) visit(target)
    path.pop()
    done.add(file)
  }
  for (const file of edges.keys()) visit(file)
  return violations
}

function checkLengths(root: string): Violation[] {
  const isCode = (path: string) => path.endsWith('.ts') || path.endsWith('.js')
  const files = ['src', 'scripts', 'bin', 'test', 'bench', 'examples'].flatMap((folder) => listFiles(root, folder, isCode))
  const violations: Violation[] = []
  for (const file of files) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n').length - 1
    if (lines > MAX_LINES && LONG_FILES[file] === undefined) {
      violations.push({
        file,
        line: lines,
        message: `${lines} lines; ${MAX_LINES} is the limit, so give each job its own file (a wire codec may argue in LONG_FILES)`,
      })
    }
  }
  return violations
}

/** Every folder of src is named in ARCHITECTURE.md. */
function checkMap(sources: Source[], root: string): Violation[] {
  const map = readMap(root)
  if (map === null) return [{ file: 'ARCHITECTURE.md', line: 1, message: 'missing: it is the map of the source folders' }]
  const folders = new Set(sources.filter(({ file }) => file.split('/').length > 2).map(({ file }) => layerOf(file)))
  return [...folders]
    .filter((folder) => !new RegExp(`(^|[^\\w-])(src/)?${folder}/`, 'm').test(map))
    .map((folder) => ({ file: 'ARCHITECTURE.md', line: 1, message: `does not name the folder ${folder}/` }))
}

function readMap(root: string): string | null {
  try {
    return readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  } catch {
    return null
  }
}

/** One violation as `file:line: message`. */
export function formatViolation({ file, line, message }: Violation): string {
  return `${file}:${line}: ${message}`
}

if (isStarted(import.meta.filename)) {
  const violations = checkStructure(ROOT)
  for (const violation of violations) console.error(formatViolation(violation))
  process.exitCode = violations.length === 0 ? 0 : 1
}
