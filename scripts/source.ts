// Just enough reading of TypeScript for the structure check: where the code is (not comments, not strings) and what it imports.

/** One import, re-export, dynamic import or `new URL(...)` with a literal relative name. */
export interface ImportedModule {
  specifier: string
  /** Starts at 1. */
  line: number
  /** `import type` and `export type ... from`: gone when the program runs. */
  typeOnly: boolean
}

/**
 * The source with comments, the contents of strings and regular expressions replaced by spaces. Length, line ends and the quotes
 * of strings stay, so an index into the result is an index into the source. `${...}` in a template stays as code (a template inside
 * it does not).
 */
export function maskSource(source: string): string {
  const opener = /\/\/|\/\*|['"`]|\//g
  const parts: string[] = []
  let at = 0
  for (let match = opener.exec(source); match !== null; match = opener.exec(source)) {
    const start = match.index
    const kind = match[0]
    if (kind === '/' && !startsRegex(source, start)) continue
    const end = regionEnd(source, start, kind)
    parts.push(source.slice(at, start), maskRegion(source.slice(start, end), kind))
    at = end
    opener.lastIndex = end
  }
  parts.push(source.slice(at))
  return parts.join('')
}

function maskRegion(region: string, kind: string): string {
  if (kind === '`') return region.replace(/\$\{[^}]*\}|[^\n]/g, (part) => (part.length > 1 ? part : ' '))
  const blank = region.replace(/[^\n]/g, ' ')
  return kind === "'" || kind === '"' ? kind + blank.slice(2) + kind : blank
}

function regionEnd(source: string, start: number, kind: string): number {
  if (kind === '//') return indexOrEnd(source, '\n', start)
  if (kind === '/*') return Math.min(indexOrEnd(source, '*/', start + 2) + 2, source.length)
  let inClass = false
  for (let i = start + 1; i < source.length; i++) {
    const c = source[i]
    if (c === '\\') i++
    else if (kind === '/' && c === '[') inClass = true
    else if (kind === '/' && c === ']') inClass = false
    else if (c === kind && !inClass) return i + 1
    else if (c === '\n' && kind !== '`') return i
  }
  return source.length
}

function indexOrEnd(source: string, text: string, from: number): number {
  const index = source.indexOf(text, from)
  return index === -1 ? source.length : index
}

/** A slash opens a regular expression where a value may start; after a value it divides. */
function startsRegex(source: string, slash: number): boolean {
  const before = source.slice(Math.max(0, slash - 200), slash).trimEnd()
  return /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|yield|await))$/.test(before)
}

/** `import ... from '` and `export ... from '`; the second alternative is `import '`. Runs on masked source. */
const STATEMENT = /(?<![\w.$])(?:(?:import|export)\b(\s+type\b)?(?:(?!\b(?:import|export)\b)[\w*{}\s,$])*?\bfrom\s*|import\s*)(?=['"])/g
const CALL = /(?<![\w.$])(?:import\s*\(|new\s+URL\s*\()\s*(?=['"])/g

/** Every module named by a literal in `source`, in order. */
export function findImports(source: string): ImportedModule[] {
  const masked = maskSource(source)
  const found: (ImportedModule & { index: number })[] = []
  for (const match of [...masked.matchAll(STATEMENT), ...masked.matchAll(CALL)]) {
    const open = match.index + match[0].length
    const specifier = source.slice(open + 1, masked.indexOf(masked[open]!, open + 1))
    if (match[0].startsWith('new') && !specifier.startsWith('.')) continue
    found.push({ index: match.index, specifier, line: source.slice(0, match.index).split('\n').length, typeOnly: match[1] !== undefined })
  }
  return found.sort((a, b) => a.index - b.index).map(({ specifier, line, typeOnly }) => ({ specifier, line, typeOnly }))
}
