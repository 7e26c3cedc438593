// The real clients and servers of the tests (curl, nginx, ...), installed from Debian packages where that is possible.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** The Debian package of each program a test may ask for. */
const PACKAGES = {
  ab: 'apache2-utils',
  caddy: 'caddy',
  chromium: 'chromium',
  curl: 'curl',
  dig: 'bind9-dnsutils',
  dnsmasq: 'dnsmasq-base',
  h2load: 'nghttp2-client',
  haproxy: 'haproxy',
  nc: 'netcat-openbsd',
  nghttp: 'nghttp2-client',
  nghttpd: 'nghttp2-server',
  nginx: 'nginx-light',
  openssl: 'openssl',
  prlimit: 'util-linux',
  protoc: 'protobuf-compiler',
  'redis-benchmark': 'redis-tools',
  'redis-cli': 'redis-tools',
  'redis-server': 'redis-server',
  ss: 'iproute2',
  tcpdump: 'tcpdump',
  thrift: 'thrift-compiler',
  wrk: 'wrk',
} as const

export type Program = keyof typeof PACKAGES

/** Daemons live here, and these folders are not on everyone's PATH. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']

const INSTALL_TIMEOUT_MS = 10 * 60_000
const LOCK_WAIT_SECONDS = 600

/** What programs.ts needs of the machine; a test may put another one in its place. */
export interface Machine {
  find(program: string): string | null
  isRoot: boolean
  /** Installs Debian packages; the answer is what it printed. Whether it worked is seen by looking for the programs again. */
  install(packages: readonly string[]): string
}

/**
 * The absolute paths of programs; those that are missing are installed first when this process is root on a Debian system.
 * Throws an error that names the packages when that is not so. Call it at the top of a test file, not in a test: installing can
 * take longer than a test may.
 */
export function requirePrograms<P extends Program>(names: readonly P[], machine: Machine = thisMachine): Record<P, string> {
  const missing = names.filter((name) => machine.find(name) === null)
  if (missing.length > 0) installMissing(missing, machine)
  return Object.fromEntries(names.map((name) => [name, machine.find(name)])) as Record<P, string>
}

/** The same for a file that is no program, such as a module of nginx. Returns its path. */
export function requireFile(path: string, debianPackage: string, machine: Machine = thisMachine): string {
  if (existsSync(path)) return path
  const wanted = `the tests need ${path}; install the Debian package ${debianPackage}`
  if (!machine.isRoot || machine.find('apt-get') === null) throw new Error(`${wanted} (not done here: this is not root, or not Debian)`)
  const printed = machine.install([debianPackage])
  if (!existsSync(path)) throw new Error(`${wanted} (tried here, without success):\n${printed}`)
  return path
}

function installMissing(missing: readonly Program[], machine: Machine): void {
  const packages = missing.map((name) => PACKAGES[name])
  const wanted = `the tests need ${missing.join(', ')}; install the Debian package${packages.length > 1 ? 's' : ''} ${packages.join(' ')}`
  if (!machine.isRoot) throw new Error(`${wanted} (not done here: this is not root)`)
  for (const tool of ['apt-get', 'flock']) {
    if (machine.find(tool) === null) throw new Error(`${wanted} (not done here: there is no ${tool})`)
  }
  const printed = machine.install(packages)
  if (missing.some((name) => machine.find(name) === null)) throw new Error(`${wanted} (tried here, without success):\n${printed}`)
}

const thisMachine: Machine = { find: findProgram, isRoot: process.getuid?.() === 0, install: installPackages }

/** Where a program is, or null. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_FOLDERS]) {
    if (folder !== '' && isExecutable(join(folder, name))) return join(folder, name)
  }
  return null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function installPackages(packages: readonly string[]): string {
  // Test files run at the same time. The lock is the kernel's, so a run that is killed cannot leave it behind. Who waited for it
  // may find everything done; apt then does nothing.
  const lock = join(tmpdir(), 'sluice-test-packages.lock')
  const stamp = join(tmpdir(), 'sluice-test-packages.updated')
  const script = join(import.meta.dirname, 'install-packages.sh')
  const args = ['-w', String(LOCK_WAIT_SECONDS), lock, 'sh', script, stamp, ...packages]
  const { stdout, stderr, error } = spawnSync('flock', args, { encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS + LOCK_WAIT_SECONDS * 1000 })
  return `${stdout}${stderr}${error?.message ?? ''}`
}
