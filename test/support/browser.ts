import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CleanupScope } from './cleanup.ts'
import { requirePrograms } from './programs.ts'
import { type RunResult, runProgram } from './run.ts'

const CHROMIUM = requirePrograms(['chromium']).chromium

/** Opens a page in headless Chromium with a profile of its own; `stdout` of the result is the page's DOM when its scripts have ended. */
export function openInBrowser(scope: CleanupScope, url: string, ...flags: readonly string[]): Promise<RunResult> {
  const profile = mkdtempSync(join(tmpdir(), 'sluice-browser-'))
  scope.after(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))
  const all = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--no-proxy-server',
    '--disable-background-networking',
    `--user-data-dir=${profile}`,
    '--dump-dom',
    ...flags,
    url,
  ]
  return runProgram(CHROMIUM, all, { timeoutMs: 50_000 })
}
