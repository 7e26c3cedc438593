import type { PathMatchConfig } from '../config/types.ts'
import { normalizeConfiguredPath } from './path.ts'
import { compileRegex } from './regex.ts'
import { Template } from './template.ts'

/** What a route asks of the path, compiled. Texts are in normal form; a prefix has no slash at its end ('' is every path). */
export type PathPattern =
  | { kind: 'exact'; path: string }
  | { kind: 'template'; template: Template }
  | { kind: 'regex'; pattern: string; regex: RegExp }
  | { kind: 'prefix'; prefix: string }
  | { kind: 'none' }

/** Compiles and checks. A template without wildcards is an exact path. Throws an Error that quotes what is not valid. */
export function compilePattern(path: PathMatchConfig | null): PathPattern {
  if (path === null) return { kind: 'none' }
  switch (path.kind) {
    case 'exact':
      return { kind: 'exact', path: normalizeConfiguredPath(assertRooted(path.path)) }
    case 'template': {
      const template = new Template(path.template)
      return template.isLiteral ? { kind: 'exact', path: normalizeConfiguredPath(path.template) } : { kind: 'template', template }
    }
    case 'prefix':
      return { kind: 'prefix', prefix: normalizeConfiguredPath(assertRooted(path.prefix)).replace(/\/$/, '') }
    case 'regex':
      return { kind: 'regex', pattern: path.pattern, regex: compileRegex(path.pattern) }
  }
}

/** Whether one path fits, without the table. The table must agree with this; `explain` uses it. */
export function patternMatches(pattern: PathPattern, path: string): boolean {
  switch (pattern.kind) {
    case 'exact':
      return path === pattern.path
    case 'template':
      return templateMatches(pattern.template, path)
    case 'prefix':
      return path.startsWith(pattern.prefix) && (path.length === pattern.prefix.length || isSegmentEdge(pattern.prefix, path))
    case 'regex':
      return pattern.regex.test(path)
    case 'none':
      return true
  }
}

/** A pattern in plain words, as in `prefix /users`. */
export function describePattern(pattern: PathPattern): string {
  switch (pattern.kind) {
    case 'exact':
      return `exact path ${pattern.path}`
    case 'template':
      return `template ${pattern.template.text}`
    case 'prefix':
      return `prefix ${pattern.prefix === '' ? '/' : pattern.prefix}`
    case 'regex':
      return `regex ${pattern.pattern}`
    case 'none':
      return 'any path'
  }
}

function isSegmentEdge(prefix: string, path: string): boolean {
  return prefix === '' || path.charAt(prefix.length) === '/'
}

function templateMatches(template: Template, path: string): boolean {
  const parts = path.slice(1).split('/')
  if (template.hasRest ? parts.length < template.segments.length : parts.length !== template.segments.length) return false
  return template.segments.every((segment, i) => (segment.kind === 'literal' ? parts[i] === segment.text : parts[i] !== ''))
}

function assertRooted(path: string): string {
  if (!path.startsWith('/')) throw new Error(`path "${path}": it must start with /`)
  return path
}
