// `npm run check`: everything about the tree that is not a test. All checks run, also after one failed, so that one run tells all.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isStarted, ROOT } from './files.ts'
import { checkGenerated } from './generate.ts'
import { checkStructure, formatViolation } from './layers.ts'

/** One check; the answer is what is wrong, empty when all is well. */
interface Check {
  name: string
  run(): Promise<string[]> | string[]
}

const BIOME = 'node_modules/@biomejs/cli-linux-x64/biome'

/** Every check, cheap ones first. */
const CHECKS: readonly Check[] = [
  { name: 'structure', run: () => checkStructure(ROOT).map(formatViolation) },
  { name: 'types', run: () => runProgram(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']) },
  { name: 'lint and format', run: runLint },
  { name: 'docs say what the code says', run: () => checkGenerated(ROOT) },
]

function runLint(): string[] {
  if (!existsSync(join(ROOT, BIOME))) {
    return [`${BIOME} is missing: it comes with the optional package @biomejs/cli-linux-x64 (Linux on x64); run "npm ci"`]
  }
  return runProgram(BIOME, ['check', '--error-on-warnings', '--max-diagnostics=200', '.'])
}

/** The output of a program as the complaint, when it did not end with 0. */
function runProgram(program: string, args: string[]): string[] {
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 })
  if (error !== undefined) return [`${program}: ${error.message}`]
  return status === 0 ? [] : [`${stdout}${stderr}`.trimEnd() || `${program}: ended with ${status ?? signal}`]
}

async function main(): Promise<void> {
  let failed = 0
  for (const { name, run } of CHECKS) {
    const problems = await run()
    console.log(problems.length === 0 ? `ok    ${name}` : `FAIL  ${name}`)
    for (const problem of problems) console.log(problem.replace(/^/gm, '      '))
    if (problems.length > 0) failed++
  }
  console.log(failed === 0 ? 'all checks passed' : `${failed} of ${CHECKS.length} checks failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

if (isStarted(import.meta.filename)) await main()
