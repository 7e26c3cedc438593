// Files that are made from code: `npm run generate` writes them, `node scripts/generate.ts --check` (part of `npm run check`) fails
// when one does not say what the code says.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isStarted, ROOT } from './files.ts'

/** A committed file and the code that makes its text. */
export interface GeneratedFile {
  path: string
  generate(): Promise<string>
}

/** Every generated file of the repository. The imports are lazy, so one broken generator does not hide the others. */
export const GENERATED_FILES: readonly GeneratedFile[] = [
  { path: 'docs/config.md', generate: async () => (await import('../src/config/docs.ts')).generateConfigDocs() },
  { path: 'docs/sluice.schema.json', generate: async () => (await import('../src/config/json-schema.ts')).generateJsonSchema() },
  { path: 'docs/metrics.md', generate: async () => (await import('../src/observe/metrics-docs.ts')).generateMetricsDocs() },
  { path: 'docs/errors.md', generate: async () => (await import('./errors-doc.ts')).generateErrorsDocs() },
]

/** Compares every file with what its code makes now; the answer is one line for each that differs. */
export async function checkGenerated(root: string, files: readonly GeneratedFile[] = GENERATED_FILES): Promise<string[]> {
  const problems: string[] = []
  for (const { path, generate } of files) {
    try {
      const wanted = await generate()
      const have = existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : null
      if (have === null) problems.push(`${path}: missing; run "npm run generate"`)
      else if (have !== wanted) problems.push(`${path}:${firstDifference(have, wanted)}: differs from the code; run "npm run generate"`)
    } catch (error) {
      problems.push(`${path}: its generator failed: ${error instanceof Error ? error.message : error}`)
    }
  }
  return problems
}

/** The number of the first line that is not the same. */
function firstDifference(a: string, b: string): number {
  const linesA = a.split('\n')
  const linesB = b.split('\n')
  const index = linesA.findIndex((line, i) => line !== linesB[i])
  return (index === -1 ? linesA.length : index) + 1
}

/** Writes every file that differs; returns their paths. */
export async function writeGenerated(root: string, files: readonly GeneratedFile[] = GENERATED_FILES): Promise<string[]> {
  const written: string[] = []
  for (const { path, generate } of files) {
    const target = join(root, path)
    const text = await generate()
    if (existsSync(target) && readFileSync(target, 'utf8') === text) continue
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text)
    written.push(path)
  }
  return written
}

if (isStarted(import.meta.filename)) {
  if (process.argv.includes('--check')) {
    const problems = await checkGenerated(ROOT)
    for (const problem of problems) console.error(problem)
    process.exitCode = problems.length === 0 ? 0 : 1
  } else {
    const written = await writeGenerated(ROOT)
    console.log(written.length === 0 ? 'nothing to write' : `wrote ${written.join(', ')}`)
  }
}
