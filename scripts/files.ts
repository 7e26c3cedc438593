import { readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's top folder, without a slash at the end. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'coverage', 'fixtures', '.git', '.sluice'])

/**
 * Whether `file` is the script this process was started with. `import.meta.main` does not hold for a script that
 * scripts/with-node.js started, because that one imports it.
 */
export function isStarted(file: string): boolean {
  const started = process.argv[1]
  return started !== undefined && realpathSync(started) === file
}

/** All files below `folder` (which may be missing) for which `accept` holds, as paths relative to `root`, sorted. */
export function listFiles(root: string, folder: string, accept: (path: string) => boolean): string[] {
  const found: string[] = []
  const walk = (relative: string) => {
    for (const entry of readEntries(join(root, relative))) {
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.has(entry.name)) walk(path)
      } else if (accept(path)) found.push(path)
    }
  }
  walk(folder)
  return found.sort()
}

function readEntries(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
