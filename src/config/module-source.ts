/** Reads what a `sluice.config.ts` exports: plain data, in which each function is replaced by a marker with its path. */
import type { ConfigPath } from './problem.ts'

/** Stands where a module had a function. Text formats cannot make one. */
export class FunctionMarker {
  readonly path: (string | number)[]
  readonly name: string

  constructor(path: (string | number)[], name: string) {
    this.path = path
    this.name = name
  }
}

export interface RawProblem {
  path: ConfigPath
  message: string
}

const MAX_DEPTH = 64

/** A copy of an exported value as plain data. Never throws; what cannot be configuration is reported and left out. */
export function readModuleValue(value: unknown): { value: unknown; problems: RawProblem[] } {
  const problems: RawProblem[] = []
  try {
    return { value: copy(value, [], problems), problems }
  } catch (reason) {
    // A getter or proxy of the module threw.
    return { value: undefined, problems: [{ path: [], message: `reading the exported configuration failed: ${String(reason)}` }] }
  }
}

function copy(value: unknown, path: (string | number)[], problems: RawProblem[]): unknown {
  if (path.length > MAX_DEPTH) {
    problems.push({ path: path.slice(0, 8), message: 'is nested too deeply, or contains itself' })
    return undefined
  }
  if (typeof value === 'function') return new FunctionMarker(path, value.name || 'anonymous')
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, index) => copy(item, [...path, index], problems))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    problems.push({ path, message: `expected plain data; found an instance of ${value.constructor?.name ?? 'a class'}` })
    return undefined
  }
  const result: Record<string, unknown> = Object.create(null)
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__') problems.push({ path: [...path, key], message: 'this key is not allowed' })
    else if (item !== undefined) result[key] = copy(item, [...path, key], problems)
  }
  return result
}
