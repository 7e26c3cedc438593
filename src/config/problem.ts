/**
 * What is wrong with a configuration, and how it is printed. Every problem of a file is collected before anything is said, and
 * each says where it is, what was found and what is allowed.
 */

/** Keys and list positions from the top of the configuration. */
export type ConfigPath = readonly (string | number)[]

export interface ConfigProblem {
  /** The file as the user named it. */
  file: string
  /** From 1; 0 when the place is unknown (a module, an unreadable file). */
  line: number
  /** From 1, in UTF-16 units; 0 when unknown. */
  column: number
  /** For people: `services.users.endpoints[0]`. Empty for the whole file. */
  path: string
  message: string
  /** The line the problem is on, without its line end; empty when unknown. */
  sourceLine: string
}

/** Longest part of a source line that is printed; minified JSON has one line for everything. */
const SHOWN_COLUMNS = 120

const PLAIN_KEY = /^[A-Za-z0-9_-]+$/

/** `["routes", "users", "filters", 0]` becomes `routes.users.filters[0]`. Keys with other characters are quoted in brackets. */
export function formatPath(path: ConfigPath): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (!PLAIN_KEY.test(part)) text += `[${JSON.stringify(part)}]`
    else text += text === '' ? part : `.${part}`
  }
  return text
}

/** Sorts by place, then by path, and drops exact repetitions. */
export function sortProblems(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const sorted = [...problems].sort(
    (a, b) => a.line - b.line || a.column - b.column || compareText(a.path, b.path) || compareText(a.message, b.message),
  )
  return sorted.filter((problem, index) => {
    const before = sorted[index - 1]
    return before === undefined || before.line !== problem.line || before.path !== problem.path || before.message !== problem.message
  })
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** All problems as text, each with its source line and a caret under the place. Ends with a line feed unless there are none. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  let text = ''
  for (const problem of problems) text += formatProblem(problem)
  return text
}

function formatProblem(problem: ConfigProblem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file
  const path = problem.path === '' ? '' : `${problem.path}: `
  const head = `${place}: ${path}${problem.message}\n`
  if (problem.line === 0 || problem.sourceLine.trim() === '') return head
  const { shown, caret } = clip(problem.sourceLine, problem.column)
  return `${head}  ${shown}\n  ${caret}^\n`
}

/** The part of a line around a column, and the white space that puts a caret under it. Tabs stay tabs so that both lines agree. */
function clip(line: string, column: number): { shown: string; caret: string } {
  const at = Math.min(column - 1, line.length)
  let start = 0
  if (line.length > SHOWN_COLUMNS && at > SHOWN_COLUMNS / 2) start = at - SHOWN_COLUMNS / 2
  const shown = line.slice(start, start + SHOWN_COLUMNS)
  return { shown: printable(shown), caret: shown.slice(0, at - start).replace(/[^\t]/g, ' ') }
}

/** Terminal control characters in a file must not reach the terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '\ufffd')
}
