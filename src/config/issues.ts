/** Turns what zod found into sentences: where, what was found, what is allowed. Unions are reduced to the branch the user meant. */
import type { z } from 'zod'
import { FunctionMarker } from './module-source.ts'
import type { ConfigPath } from './problem.ts'
import { ALLOWED_KEYS, protocolsWith } from './schema-kit.ts'
import { didYouMean, suggest } from './suggest.ts'

export interface RawIssue {
  path: ConfigPath
  /** Whether the key or its value is wrong. */
  part: 'key' | 'value'
  message: string
  /** For an unknown key: the path that was most likely meant. */
  meant?: ConfigPath
}

type ZodIssue = z.core.$ZodIssue

/** `raw` is what was parsed; `isSecret` says which paths hold values that must not be printed. */
export function describeIssues(issues: readonly ZodIssue[], raw: unknown, isSecret: (path: ConfigPath) => boolean): RawIssue[] {
  const result: RawIssue[] = []
  for (const issue of issues) addIssue(issue, [], { raw, isSecret }, result)
  // A misspelt key is one mistake, not an unknown and a missing one.
  const meant = new Set(result.map((issue) => JSON.stringify(issue.meant)))
  return result.filter((issue) => !(issue.message.startsWith(MISSING) && meant.has(JSON.stringify(issue.path))))
}

const MISSING = 'missing; '

interface Context {
  raw: unknown
  isSecret: (path: ConfigPath) => boolean
}

function addIssue(issue: ZodIssue, base: ConfigPath, context: Context, result: RawIssue[]): void {
  const path = [...base, ...issue.path] as (string | number)[]
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) result.push(unknownKey(path, key, issue.message, valueAt(context.raw, path)))
  } else if (issue.code === 'invalid_union' && issue.discriminator !== undefined) {
    const allowed = ('options' in issue ? (issue.options ?? []) : []).filter((option) => option !== undefined).map(String)
    const value = valueAt(context.raw, path)
    const near = typeof value === 'string' ? didYouMean(value, allowed) : ''
    result.push({ path, part: 'value', message: withFound(path, `expected one of ${allowed.join(', ')}${near}`, context) })
  } else if (issue.code === 'invalid_union') {
    const branch = bestBranch(issue.errors)
    const slip = branch === null ? null : slipOf(branch, issue.message, valueAt(context.raw, path))
    if (branch === null || slip !== null)
      result.push({ path, part: 'value', message: withFound(path, issue.message + (slip ?? ''), context) })
    else for (const inner of branch) addIssue(inner, path, context, result)
  } else if (issue.code === 'invalid_key') {
    result.push({
      path,
      part: 'key',
      message: wrongKey(path, issue.issues[0]?.message ?? issue.message),
    })
  } else {
    const isKey = issue.code === 'custom' && issue.params?.['key'] === true
    if (isKey)
      result.push({
        path,
        part: 'key',
        message: issue.message.startsWith('expected') ? `found ${JSON.stringify(path.at(-1))}; ${issue.message}` : issue.message,
      })
    else result.push({ path, part: 'value', message: withFound(path, expectation(issue, valueAt(context.raw, path)), context) })
  }
}

function wrongKey(path: ConfigPath, message: string): string {
  return message.startsWith('expected') ? `found ${JSON.stringify(path.at(-1))}; ${message}` : message
}

function unknownKey(parent: ConfigPath, key: string, message: string, map: unknown): RawIssue {
  const allowed = message.startsWith(ALLOWED_KEYS) ? message.slice(ALLOWED_KEYS.length).split(', ') : []
  const present = typeof map === 'object' && map !== null ? map : {}
  const isFree = (name: string) => !Object.hasOwn(present, name)
  const near = suggest(key, allowed.filter(isFree)) ?? suggest(key, allowed)
  const issue: RawIssue = { path: [...parent, key], part: 'key', message: `unknown key; ${ALLOWED_KEYS}${allowed.join(', ')}` }
  const elsewhere = parent.length === 2 && parent[0] === 'listeners' ? protocolsWith(key) : []
  if (elsewhere.length > 0) {
    const what = String((present as { protocol?: unknown }).protocol ?? 'http')
    return { ...issue, message: `belongs to listeners with protocol: ${elsewhere.join(' or ')}; this one has protocol: ${what}` }
  }
  return near === null ? issue : { ...issue, message: `unknown key; did you mean "${near}"?`, meant: [...parent, near] }
}

/** The branch whose kind of value was given: the one that does not fail at its very top. Null when the kind itself is wrong. */
function bestBranch(branches: readonly (readonly ZodIssue[])[]): readonly ZodIssue[] | null {
  let best: readonly ZodIssue[] | null = null
  for (const issues of branches) {
    if (issues.length === 0 || issues.some(isWrongKind)) continue
    if (best === null || depth(issues) > depth(best)) best = issues
  }
  return best
}

function isWrongKind(issue: ZodIssue): boolean {
  if (issue.path.length > 0) return false
  if (issue.code === 'invalid_union') return bestBranch(issue.errors) === null
  return issue.code === 'invalid_type' || (issue.code === 'custom' && issue.params === undefined && issue.message === 'expected a function')
}

/** For a word that is none of those allowed, where other kinds of value are allowed too: a suggestion, or ''. Null for other problems. */
function slipOf(branch: readonly ZodIssue[], message: string, value: unknown): string | null {
  const only = branch[0]
  if (branch.length !== 1 || only === undefined || only.code !== 'invalid_value' || only.path.length > 0) return null
  if (!message.startsWith('expected')) return null
  return typeof value === 'string' ? didYouMean(value, only.values.map(String)) : ''
}

function depth(issues: readonly ZodIssue[]): number {
  return Math.max(...issues.map((issue) => issue.path.length))
}

const KIND_WORDS: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map of keys and values',
  record: 'a map of names and values',
  array: 'a list',
  tuple: 'a list',
  null: 'null',
}

/** Says what is allowed. Messages the schema wrote itself are kept. */
function expectation(issue: ZodIssue, value: unknown): string {
  if (issue.message.startsWith('expected')) return hintQuotes(issue, value)
  if (issue.code === 'invalid_type')
    return hintQuotes({ ...issue, message: `expected ${KIND_WORDS[issue.expected] ?? issue.expected}` }, value)
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String)
    // With one word allowed, the message has said it already.
    const near = typeof value === 'string' && values.length > 1 ? didYouMean(value, values) : ''
    return `expected ${values.length === 1 ? '' : 'one of '}${values.join(', ')}${near}`
  }
  return issue.message
}

/** `x-version: 2` is a number to YAML. */
function hintQuotes(issue: ZodIssue, value: unknown): string {
  const isText = issue.code === 'invalid_type' && issue.expected === 'string'
  if (isText && (typeof value === 'number' || typeof value === 'boolean') && issue.message === 'expected text') {
    return `expected text; put it in quotes: "${value}"`
  }
  return issue.message
}

function withFound(path: ConfigPath, message: string, context: Context): string {
  if (!message.startsWith('expected')) return message
  const value = valueAt(context.raw, path)
  if (path.length === 0 && (value === undefined || value === null)) return 'is empty; expected at least listeners'
  if (value === undefined) return MISSING + message
  return `found ${context.isSecret(path) ? 'a value from a file' : describeValue(value)}; ${message}`
}

/** The value at a path, or undefined. */
export function valueAt(raw: unknown, path: ConfigPath): unknown {
  let value = raw
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}

const LONGEST_SHOWN = 60

/** A value in a few words. */
export function describeValue(value: unknown): string {
  if (value === null) return 'nothing (null)'
  if (value instanceof FunctionMarker) return 'a function'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty map' : 'a map'
  if (typeof value !== 'string') return String(value)
  return JSON.stringify(value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}...` : value)
}
