/**
 * Reads YAML (and so JSON) into plain data and remembers where everything stands. Scalars are substituted on the way. Bad input is
 * reported, never thrown.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  type YAMLError,
} from 'yaml'
import type { ConfigPath } from './problem.ts'
import { findExpressions, plainScalar, type Substitution } from './substitute.ts'

/** A problem at an offset of the source. */
export interface PlacedProblem {
  offset: number
  path: ConfigPath
  message: string
}

export interface YamlSource {
  document: Document.Parsed
  lines: LineCounter
  /** Syntax errors and duplicate keys. */
  problems: PlacedProblem[]
  /** False after a syntax error: the tree is not what the user meant, so looking further would only confuse. */
  usable: boolean
}

const TOO_DEEP = 'is nested too deeply to be read'

/** Parses only; nothing is substituted yet. */
export function parseYaml(text: string): YamlSource | { failure: string } {
  const lines = new LineCounter()
  let document: Document.Parsed
  try {
    // Duplicate keys are found by the walk, with their path and in linear time.
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, keepSourceTokens: false, uniqueKeys: false })
  } catch (reason) {
    return { failure: reason instanceof RangeError ? TOO_DEEP : `cannot be parsed: ${String(reason)}` }
  }
  // The parser reports its own stack overflow as errors of the text.
  if (document.errors.some((error) => /stack/i.test(error.message))) return { failure: TOO_DEEP }
  const errors = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0])
  // After the first syntax error the parser meets tokens it no longer understands: those are echoes.
  const shown = errors.filter((error, index) => index === 0 || error.code !== 'UNEXPECTED_TOKEN')
  const problems = shown.map((error) => ({ offset: error.pos[0], path: [], message: `is not valid YAML: ${plainMessage(error, text)}` }))
  return { document, lines, problems, usable: errors.length === 0 }
}

function plainMessage(error: YAMLError, text: string): string {
  const at = error.pos[0]
  if (error.code === 'TAB_AS_INDENT') return 'a tab is used as indentation; use spaces'
  if (error.code === 'MULTIPLE_DOCS') return 'the file has several documents (---); only one is read'
  if (text.startsWith('${', at) || text.startsWith('${', at - 1)) return 'between { } and [ ], text with ${...} must be in quotes'
  if (error.code === 'BAD_COLLECTION_TYPE') return 'a list or map of another kind begins here; check the indentation and dashes above'
  const message = error.message.replace(/\s+/g, ' ')
  return message.charAt(0).toLowerCase() + message.slice(1)
}

/** Aliases may repeat this many values in all; more is a bomb, not a configuration. */
const MAX_ALIASED_VALUES = 10_000
const MAX_DEPTH = 64

export interface YamlValue {
  value: unknown
  problems: PlacedProblem[]
  /** Scalars that came from a substitution and could also be a number, true, false or null; by path key. */
  retypable: Map<string, { path: ConfigPath; typed: unknown }>
  /** Paths of scalars whose text holds the content of a file: never printed. */
  secret: Set<string>
  /** True when reading was given up: what there is of the value says nothing. */
  tooMany: boolean
  /** Paths of values that could not be read or substituted: that what is left does not fit its place is no news. */
  unread: Set<string>
}

export function pathKey(path: ConfigPath): string {
  return JSON.stringify(path)
}

interface Walk extends YamlValue {
  source: YamlSource
  substitution: Substitution
  aliased: number
  open: Set<Node>
  /** The outermost alias that is being followed. */
  alias: Node | null
}

/** The document as plain data with null-prototype objects. */
export function readYamlValue(source: YamlSource, substitution: Substitution): YamlValue {
  const walk: Walk = {
    value: null,
    problems: [],
    retypable: new Map(),
    secret: new Set(),
    unread: new Set(),
    source,
    substitution,
    aliased: 0,
    open: new Set(),
    tooMany: false,
    alias: null,
  }
  walk.value = readNode(walk, source.document.contents, [], 0)
  return walk
}

function readNode(walk: Walk, node: Node | null, path: (string | number)[], aliasDepth: number): unknown {
  if (node === null || walk.tooMany) return null
  if (isAlias(node)) {
    const target = node.resolve(walk.source.document)
    if (target === undefined || walk.open.has(target)) {
      const message = target === undefined ? `there is no anchor &${node.source} above` : `*${node.source} contains itself`
      report(walk, node, path, message)
      walk.unread.add(pathKey(path))
      return null
    }
    if (aliasDepth === 0) walk.alias = node
    return readNode(walk, target, path, aliasDepth + 1)
  }
  if (aliasDepth > 0 && ++walk.aliased > MAX_ALIASED_VALUES) {
    walk.tooMany = true
    report(walk, walk.alias, [], `aliases repeat more than ${MAX_ALIASED_VALUES} values; write the configuration out`)
    return null
  }
  if (isScalar(node)) return readScalar(walk, node, path)
  if (path.length >= MAX_DEPTH) {
    report(walk, node, path.slice(0, 8), 'is nested too deeply')
    return null
  }
  walk.open.add(node)
  const value = isMap(node)
    ? readMap(walk, node.items as Pair<Node, Node | null>[], path, aliasDepth)
    : isSeq(node)
      ? readList(walk, node.items as Node[], path, aliasDepth)
      : null
  walk.open.delete(node)
  return value
}

function readList(walk: Walk, items: Node[], path: (string | number)[], aliasDepth: number): unknown[] {
  const list: unknown[] = []
  for (let i = 0; i < items.length; i++) {
    list.push(readNode(walk, items[i]!, [...path, i], aliasDepth))
  }
  return list
}

function readMap(walk: Walk, pairs: Pair<Node, Node | null>[], path: (string | number)[], aliasDepth: number): Record<string, unknown> {
  const map: Record<string, unknown> = Object.create(null)
  for (const pair of pairs) {
    const key = keyText(pair)
    const problem = keyProblem(key, map)
    if (problem !== null) {
      report(walk, pair.key, key === null ? path : [...path, key], problem)
      continue
    }
    map[key!] = readNode(walk, pair.value, [...path, key!], aliasDepth)
  }
  return map
}

function keyProblem(key: string | null, map: Record<string, unknown>): string | null {
  if (key === null) return 'expected a key of plain text'
  if (key === '__proto__') return 'this key is not allowed'
  if (key === '<<') return 'merge keys (<<) are not supported; use an alias for the whole value, or a policy'
  if (Object.hasOwn(map, key)) return 'this key is given twice; keep one'
  return null
}

function keyText(pair: Pair<Node, Node | null>): string | null {
  const key = pair.key
  if (!isScalar(key)) return null
  if (typeof key.value === 'string') return key.value
  return key.value === null || key.value === undefined ? null : (key.source ?? String(key.value))
}

function readScalar(walk: Walk, node: Scalar, path: (string | number)[]): unknown {
  if (typeof node.value !== 'string') return node.value
  const result = walk.substitution.apply(node.value, path)
  for (const problem of result.problems) {
    const offset = offsetOf(walk, node, problem.expression)
    walk.problems.push({ offset, path, message: problem.message })
    walk.unread.add(pathKey(path))
  }
  if (!result.substituted) return result.text
  if (result.fromFile) walk.secret.add(pathKey(path))
  const typed = plainScalar(result.text)
  if (typeof typed !== 'string') walk.retypable.set(pathKey(path), { path, typed })
  return result.text
}

/** Where an expression stands in the source of a scalar; its start when escapes or folding have changed the text. */
function offsetOf(walk: Walk, node: Scalar, expression: string): number {
  const [start, end] = node.range ?? [0, 0]
  const source = walk.substitution.source.slice(start, end)
  const at = source.indexOf(expression)
  return start + Math.max(0, at)
}

function report(walk: Walk, node: Node | null, path: ConfigPath, message: string): void {
  walk.problems.push({ offset: node?.range?.[0] ?? 0, path, message })
}

/** Every string value in the document that holds an expression, aliases not followed: what has to be read before substituting. */
export function expressionsOf(document: Document.Parsed): string[] {
  const found: string[] = []
  visit(document.contents, found)
  return found
}

function visit(node: unknown, found: string[]): void {
  if (isScalar(node) && typeof node.value === 'string') found.push(...findExpressions(node.value))
  else if (isMap(node)) for (const pair of node.items) visit(pair.value, found)
  else if (isSeq(node)) for (const item of node.items) visit(item, found)
}

/**
 * The offset of a path: of the key or of the value it names. What does not exist is looked for where it would be: at the key of
 * the nearest map above.
 */
export function offsetOfPath(source: YamlSource, path: ConfigPath, part: 'key' | 'value'): number {
  let node: unknown = source.document.contents
  let keyOffset = offsetOfNode(node) ?? 0
  let valueOffset = keyOffset
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(source.document)
    if (isMap(node)) {
      const pair = (node.items as Pair<Node, Node | null>[]).find((item) => keyText(item) === String(step))
      if (pair === undefined) return keyOffset
      keyOffset = offsetOfNode(pair.key) ?? keyOffset
      // An empty value has no place of its own.
      valueOffset = isEmptyNode(pair.value) ? keyOffset : (offsetOfNode(pair.value) ?? keyOffset)
      node = pair.value
    } else if (isSeq(node)) {
      const item = typeof step === 'number' ? node.items[step] : undefined
      if (item === undefined) return keyOffset
      keyOffset = valueOffset = offsetOfNode(item) ?? keyOffset
      node = item
    } else return keyOffset
  }
  return part === 'key' ? keyOffset : valueOffset
}

function isEmptyNode(node: Node | null): boolean {
  return isScalar(node) && node.range !== undefined && node.range !== null && node.range[0] === node.range[1]
}

function offsetOfNode(node: unknown): number | null {
  return (node as Node | null | undefined)?.range?.[0] ?? null
}
