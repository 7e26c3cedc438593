import { resolve } from 'node:path'
import { systemClock } from '../base/clock.ts'
import { formatProblems, type LoadResult } from '../config/load.ts'
import type { Log } from '../observe/log.ts'
import { createProgramLog } from '../observe/program-log.ts'
import { readConfig, readConfigOrReport } from './config-file.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_OK, paint } from './io.ts'
import { readVersion } from './version.ts'
import { type FileWatch, watchFiles } from './watch.ts'

export type LoadedConfig = Extract<LoadResult, { ok: true }>

/** What the commands ask of a running gateway; src/gateway.ts makes it. */
export interface ServedGateway {
  /** Each as `host:port`, with the port that the system chose where the configuration says 0. */
  listenerAddresses(): { name: string; address: string; scheme?: string }[]
  adminAddress: string | null
  adminScheme: 'http' | 'https'
  reload(): Promise<{ ok: boolean }>
  /** Opens log files anew, after a rotation has moved them away. */
  reopenLogs(): void
  /** Drains and stops; again while it does is the same. */
  stop(): Promise<void>
  /** Resolves when the gateway has stopped, for whatever reason. */
  stopped: Promise<void>
}

export interface StartGatewayOptions {
  config: LoadedConfig
  /** Reads the configuration again. */
  reload: () => Promise<LoadResult>
  log: Log
  version: string
}

export type StartGateway = (options: StartGatewayOptions) => Promise<ServedGateway>

export interface ServeOptions {
  io: CommandIo
  /** The configuration file. */
  path: string
  /** Reload when a file of the configuration changes. */
  watch: boolean
  startGateway: StartGateway
  /** Tells people or programs where the gateway listens. */
  announce(gateway: ServedGateway): void
}

/** Runs a gateway until it is told to stop; the answer is the exit code. */
export async function serve(options: ServeOptions): Promise<number> {
  const server = new Server(options)
  try {
    return await server.run()
  } finally {
    server.release()
  }
}

/** One run of a gateway with what belongs to it: signals, the file watch and the log. */
class Server {
  readonly #options: ServeOptions
  readonly #releases: (() => void)[] = []
  #watch: FileWatch | null = null
  #gateway: ServedGateway | null = null
  #log: Log | null = null
  #isStopping = false
  /** Why a reload was asked for before there was a gateway to ask. */
  #earlyReload: string | null = null

  constructor(options: ServeOptions) {
    this.#options = options
  }

  async run(): Promise<number> {
    const { io, path, startGateway, announce } = this.#options
    // First, so that no signal and no change of a file falls between starting and listening for it.
    this.#releases.push(io.onSignal('SIGTERM', () => this.#onStopSignal('SIGTERM')))
    this.#releases.push(io.onSignal('SIGINT', () => this.#onStopSignal('SIGINT')))
    this.#releases.push(io.onSignal('SIGHUP', () => void this.#reload('SIGHUP')))
    this.#releases.push(io.onSignal('SIGUSR1', () => this.#gateway?.reopenLogs()))
    await this.#startWatch()
    const config = await readConfigOrReport(path, io)
    if (config === null) return EXIT_FAILURE
    this.#watchFiles(config.files)
    const log = this.#createLog(config)
    this.#releases.push(io.onUncaught((error) => log.error('an error that nobody caught', { error })))
    const gateway = await startGateway({ config, reload: () => this.#readAgain(), log, version: readVersion() })
    this.#gateway = gateway
    if (this.#isStopping) await gateway.stop()
    else {
      announce(gateway)
      if (this.#earlyReload !== null) await this.#reload(this.#earlyReload)
    }
    await gateway.stopped
    return EXIT_OK
  }

  release(): void {
    for (const release of this.#releases) release()
    this.#watch?.close()
  }

  #createLog({ config }: LoadedConfig): Log {
    const { stderr } = this.#options.io
    this.#log = createProgramLog({
      ...config.log,
      write: (line) => stderr.write(line),
      wallClock: systemClock.wallClock,
      color: stderr.hasColors,
    })
    return this.#log
  }

  async #startWatch(): Promise<void> {
    const { io, path, watch } = this.#options
    if (!watch) return
    this.#watch = watchFiles({ files: [resolve(io.cwd, path)], onChange: () => void this.#reload('a changed file') })
    await this.#watch.settled()
  }

  #watchFiles(files: readonly string[]): void {
    this.#watch?.setFiles(files.map((file) => resolve(this.#options.io.cwd, file)))
  }

  /** For every reload, whoever asked for it: problems are printed as `sluice check` prints them. */
  async #readAgain(): Promise<LoadResult> {
    const { io, path } = this.#options
    const result = await readConfig(path, io)
    this.#watchFiles(result.files)
    if (!result.ok) {
      io.stderr.write(formatProblems(result.problems))
      io.stderr.write(paint(io.stderr, 'red', `${path}: not loaded; the configuration before it stays in use\n`))
    }
    return result
  }

  async #reload(reason: string): Promise<void> {
    if (this.#isStopping) return
    if (this.#gateway === null) {
      this.#earlyReload = reason
      return
    }
    this.#log?.info('reloading', { reason })
    try {
      await this.#gateway.reload()
    } catch (error) {
      this.#log?.error('the reload failed', { error })
    }
  }

  #onStopSignal(signal: string): void {
    const { io } = this.#options
    if (this.#isStopping) {
      this.#log?.warn('stopping at once', { signal })
      io.exit(EXIT_FAILURE)
      return
    }
    this.#isStopping = true
    this.#log?.info('stopping; a second signal does not wait', { signal })
    this.#gateway?.stop().catch((error: unknown) => {
      this.#log?.error('the gateway did not stop in order', { error })
      io.exit(EXIT_FAILURE)
    })
  }
}

/** `0.0.0.0:80` and `[::]:80` as an address that can be asked from this machine. */
export function toLocalUrl(address: string, scheme = 'http'): string {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon)
  const isAny = host === '' || host === '0.0.0.0' || host === '[::]' || host === '::'
  return `${scheme}://${isAny ? 'localhost' : host}${address.slice(colon)}`
}
