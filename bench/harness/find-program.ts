import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

// Debian keeps servers in sbin, which is not on the PATH of everybody.
const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']

/** The path of an installed program, or null. */
export function findProgram(name: string): string | null {
  for (const folder of FOLDERS) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return null
}

/** The same for a program without which a scenario cannot be measured. Throws, naming it. */
export function requireProgram(name: string): string {
  const path = findProgram(name)
  if (path === null) throw new Error(`${name} is missing: bench/install.sh installs it`)
  return path
}

/** What a program prints about its version, cut down by a pattern with one group; null when it is not installed. */
export function programVersion(name: string, args: readonly string[], pattern: RegExp): string | null {
  const path = findProgram(name)
  if (path === null) return null
  // nginx prints it on standard error; wrk exits with 1 after printing it.
  const { stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', timeout: 10_000 })
  return pattern.exec(stdout + stderr)?.[1] ?? 'unknown version'
}
