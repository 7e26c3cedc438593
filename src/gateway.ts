import { AdminListener } from './admin/listener.ts'
import { describeServices } from './admin/services.ts'
import type { AdminSource, Readiness, ReloadResult } from './admin/source.ts'
import { systemClock, systemRandom } from './base/clock.ts'
import { SharedCounts } from './base/shared-counts.ts'
import { TimerWheel } from './base/timers.ts'
import { diffConfig } from './config/diff.ts'
import type { ConfigProblem, LoadResult } from './config/load.ts'
import type { TlsTexts } from './config/tls-types.ts'
import type { GatewayConfig } from './config/types.ts'
import { CertificateWatch } from './listener/certificate-watch.ts'
import { TicketKeys } from './listener/ticket-keys.ts'
import { ListenerRows, MAX_LISTENER_ROWS } from './listener-rows.ts'
import { createCounter, createGauge } from './observe/handles.ts'
import { createLimitMetrics } from './observe/limit-metrics.ts'
import type { Log } from './observe/log.ts'
import { MetricsStore } from './observe/metrics-store.ts'
import { METRICS } from './observe/names.ts'
import { createProcessMetrics } from './observe/process-metrics.ts'
import { formatPrometheus } from './observe/prometheus.ts'
import { assertPortsFree, boundAddress, findTakenPort, formatAddress } from './ports.ts'
import { type EndpointStateLease, EndpointStateStore } from './service/endpoint-state-store.ts'
import { Governance, type GovernanceLease, GovernanceStore } from './service/governance.ts'
import { HealthChecks } from './service/health/health-checks.ts'
import { SERVICE_WATCH_TICK_MS, ServiceWatch } from './service/service-watch.ts'
import { WorkerHandle } from './worker-handle.ts'
import type { FromWorker, PrepareMessage } from './worker-protocol.ts'

/** A configuration without problems, and what came with it. */
type LoadedConfig = Extract<LoadResult, { ok: true }>

/**
 * The composition root: starts the worker threads, gives every one the same configuration, and keeps what they share. Traffic never
 * comes here.
 */
export interface StartGatewayOptions {
  config: LoadedConfig
  /** Reads the configuration again. */
  reload: () => Promise<LoadResult>
  log: Log
  version: string
}

export interface Gateway {
  /** Each as `host:port`, with the port the system chose where the configuration says 0. */
  listenerAddresses(): { name: string; address: string; scheme?: string }[]
  readonly adminAddress: string | null
  readonly adminScheme: 'http' | 'https'
  reload(): Promise<ReloadResult>
  /** Opens log files anew, after a rotation has moved them away. */
  reopenLogs(): void
  /** Drains and stops; again while it does is the same. */
  stop(): Promise<void>
  /** Resolves when the gateway has stopped. */
  readonly stopped: Promise<void>
}

/** A worker that dies at once again and again is started at growing intervals. */
const RESPAWN_DELAY_MS = 100
const RESPAWN_MAX_DELAY_MS = 10_000
const RESPAWN_FORGIVEN_MS = 60_000
/** How late a health check or its timeout may come. */
const HEALTH_TICK_MS = 50
/** What is added to the drain time before a worker that does not answer is ended by force. */
const DRAIN_MARGIN_MS = 2000

/** Throws one clear error when a listener or the admin address cannot be bound. */
export async function startGateway(options: StartGatewayOptions): Promise<Gateway> {
  const gateway = new RunningGateway(options)
  try {
    await gateway.start()
  } catch (error) {
    await gateway.terminate()
    throw error
  }
  return gateway
}

/** The shared memory one configuration uses. */
interface StateLease {
  readonly endpoints: EndpointStateLease
  readonly governance: GovernanceLease
}

function releaseState(lease: StateLease | null): void {
  const nowMs = systemClock.now()
  lease?.endpoints.release(nowMs)
  lease?.governance.release(nowMs)
}

class RunningGateway implements Gateway {
  readonly #options: StartGatewayOptions
  readonly #metrics = new MetricsStore()
  readonly #states: EndpointStateStore
  readonly #governance: GovernanceStore
  readonly #health: HealthChecks
  readonly #watch: ServiceWatch
  #watching: NodeJS.Timeout | undefined
  readonly #connections: SharedCounts
  readonly #handles: WorkerHandle[] = []
  /** Row of each listener in `#connections`. */
  readonly #rows = new ListenerRows()
  readonly #ports = new Map<string, number>()
  readonly #stoppedPromise: Promise<void>
  #resolveStopped: () => void = () => undefined
  #config: GatewayConfig
  #module: string | null
  #tls: TlsTexts
  readonly #ticketKeys: TicketKeys
  readonly #certificates: CertificateWatch
  #lease: StateLease | null = null
  #generation = 0
  readonly #admin: AdminListener
  #readiness: Readiness = { state: 'starting', detail: 'The workers are starting.' }
  /** Reloads and restarts of workers happen one after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  #stopping: Promise<void> | null = null

  constructor(options: StartGatewayOptions) {
    this.#options = options
    this.#config = options.config.config
    this.#module = options.config.module
    this.#tls = options.config.tls
    const { workers } = this.#config
    this.#states = new EndpointStateStore({ workers })
    this.#governance = new GovernanceStore(workers, systemRandom)
    this.#health = new HealthChecks({
      clock: systemClock,
      random: systemRandom,
      wheel: new TimerWheel(systemClock, { tickMs: HEALTH_TICK_MS }),
      states: this.#states,
      metrics: this.#metrics,
      log: options.log,
    })
    this.#admin = new AdminListener(this.#adminSource(), options.log)
    this.#ticketKeys = new TicketKeys(setInterval, (keys) => {
      for (const handle of this.#handles) if (handle.state !== 'stopped') handle.send({ type: 'ticket-keys', keys })
    })
    this.#certificates = new CertificateWatch({
      clock: systemClock,
      registry: this.#metrics.registry,
      log: options.log,
      schedule: setInterval,
    })
    this.#watch = new ServiceWatch({ clock: systemClock, states: this.#states, metrics: this.#metrics, log: options.log })
    this.#connections = SharedCounts.create(MAX_LISTENER_ROWS, workers)
    this.#stoppedPromise = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  get stopped(): Promise<void> {
    return this.#stoppedPromise
  }

  get adminAddress(): string | null {
    return this.#admin.address
  }

  get adminScheme(): 'http' | 'https' {
    return this.#admin.scheme
  }

  listenerAddresses(): { name: string; address: string; scheme?: string }[] {
    return Object.values(this.#config.listeners).map((listener) => ({
      name: listener.name,
      address: formatAddress(listener.address.host, this.#ports.get(listener.name) ?? listener.address.port),
      scheme: listener.protocol === 'http' && listener.tls !== null ? 'https' : listener.protocol,
    }))
  }

  async start(): Promise<void> {
    const { version } = this.#options
    const { registry } = this.#metrics
    const startedMs = systemClock.wallClock()
    this.#metrics.onSnapshot(createProcessMetrics(registry, { version, nodeVersion: process.versions.node, startTimeMs: startedMs }))
    const serving = createGauge(registry, METRICS.workers, {})
    this.#metrics.onSnapshot(() => serving.set(this.#handles.filter((handle) => handle.state === 'listening').length))
    this.#metrics.onSnapshot(createLimitMetrics(registry, () => this.#governance.limits.status(this.#config)))
    this.#generation = 1
    this.#retain(this.#config)
    await assertPortsFree(Object.values(this.#config.listeners).map(boundAddress))
    this.#health.update(this.#config.services, this.#tls)
    this.#updateWatch()
    this.#watching = setInterval(() => this.#watch.tick(), SERVICE_WATCH_TICK_MS)
    // The first worker finds out which ports are bound and whether they can be; the others share them.
    for (let index = 0; index < this.#config.workers; index++) {
      const handle = this.#spawn(index)
      this.#handles.push(handle)
      await this.#bring(handle)
    }
    this.#noteGeneration()
    ;(await this.#admin.prepare(this.#config.admin, this.#tls))()
    this.#readiness = { state: 'ready' }
  }

  // ---- configuration ----

  reload(): Promise<ReloadResult> {
    return this.#enqueue(() => this.#reload())
  }

  async #reload(): Promise<ReloadResult> {
    const { log, reload } = this.#options
    const { registry } = this.#metrics
    if (this.#stopping !== null) return { ok: false, problems: [problemOf('the gateway is stopping')] }
    const loaded = await reload()
    if (!loaded.ok) {
      createCounter(registry, METRICS.configReloads, { result: 'rejected' }).add(1)
      return { ok: false, problems: loaded.problems }
    }
    const diff = diffConfig(this.#config, loaded.config)
    if (diff.isEmpty && loaded.module === null) {
      createCounter(registry, METRICS.configReloads, { result: 'applied' }).add(1)
      log.info('configuration reloaded: no changes', { generation: this.#generation })
      return { ok: true, generation: this.#generation, changed: false }
    }
    if (diff.workers) log.warn('the number of workers changes only with a restart', { workers: this.#config.workers })
    const config: GatewayConfig = { ...loaded.config, workers: this.#config.workers }
    const problem = await this.#apply(config, loaded)
    if (problem !== null) {
      createCounter(registry, METRICS.configReloads, { result: 'rejected' }).add(1)
      log.error('configuration not applied; the one before it stays in use', { problem })
      return { ok: false, problems: [problemOf(problem)] }
    }
    createCounter(registry, METRICS.configReloads, { result: 'applied' }).add(1)
    log.info(`configuration reloaded: ${diff.summary}`, { generation: this.#generation })
    return { ok: true, generation: this.#generation, changed: true }
  }

  /** All workers prepare, then all swap; or none does. Returns what went wrong, or null. */
  async #apply(config: GatewayConfig, { module, tls }: Pick<LoadedConfig, 'module' | 'tls'>): Promise<string | null> {
    const before = {
      config: this.#config,
      module: this.#module,
      tls: this.#tls,
      lease: this.#lease,
      generation: this.#generation,
      ports: new Map(this.#ports),
    }
    const adminChanged = JSON.stringify(config.admin) !== JSON.stringify(before.config.admin)
    this.#config = config
    this.#module = module
    this.#tls = tls
    this.#lease = null
    this.#generation++
    // A listener that moves to another address binds what is configured, not what its name had before.
    for (const { name, address } of Object.values(config.listeners)) {
      const old = before.config.listeners[name]?.address
      if (old === undefined || old.host !== address.host || old.port !== address.port) this.#ports.delete(name)
    }
    let problem: string | null = null
    try {
      this.#retain(config)
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error)
    }
    problem ??= await findTakenPort(before.config, config)
    const live = this.#handles.filter((handle) => handle.state === 'listening')
    for (const handle of live) {
      if (problem !== null) break
      problem = await this.#prepare(handle)
      if (problem === null && this.#stopping !== null) problem = 'the gateway is stopping'
    }
    let useAdmin: (() => void) | null = null
    if (problem === null && adminChanged) {
      try {
        useAdmin = await this.#admin.prepare(config.admin, tls)
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error)
      }
    }
    if (problem !== null) {
      for (const handle of live) handle.send({ type: 'rollback', generation: this.#generation })
      releaseState(this.#lease)
      this.#config = before.config
      this.#module = before.module
      this.#tls = before.tls
      this.#lease = before.lease
      this.#generation = before.generation
      this.#ports.clear()
      for (const [name, port] of before.ports) this.#ports.set(name, port)
      return problem
    }
    await Promise.all(live.map((handle) => this.#commit(handle)))
    this.#health.update(config.services, tls)
    this.#updateWatch()
    releaseState(before.lease)
    for (const name of this.#ports.keys()) if (config.listeners[name] === undefined) this.#ports.delete(name)
    this.#noteGeneration()
    useAdmin?.()
    return null
  }

  #retain(config: GatewayConfig): void {
    const services = Object.values(config.services)
    const nowMs = systemClock.now()
    this.#lease = { endpoints: this.#states.retain(services, nowMs), governance: this.#governance.retain(config, nowMs) }
    this.#health.expect(config.services)
    this.#rows.add(Object.values(config.listeners))
  }

  #updateWatch(): void {
    const { layout } = (this.#lease as StateLease).governance
    this.#watch.update(this.#config.services, new Governance(layout, 0, systemRandom))
  }

  #noteGeneration(): void {
    const { registry } = this.#metrics
    createGauge(registry, METRICS.configGeneration, {}).set(this.#generation)
    this.#certificates.update(this.#config)
    createGauge(registry, METRICS.configLastReload, {}).set(systemClock.wallClock() / 1000)
  }

  reopenLogs(): void {
    this.#options.log.info('opening the log files anew')
    for (const handle of this.#handles) if (handle.state !== 'stopped') handle.send({ type: 'reopen-logs' })
  }

  // ---- workers ----

  #spawn(index: number): WorkerHandle {
    return new WorkerHandle({
      start: { worker: index, workers: this.#config.workers, connections: this.#connections.buffer },
      metrics: this.#metrics,
      log: this.#options.log,
      onExit: (handle) => this.#onExit(handle),
    })
  }

  #onExit(handle: WorkerHandle): void {
    this.#states.resetWorker(handle.index)
    this.#governance.resetWorker(handle.index)
    this.#connections.clearWorker(handle.index)
    const wasServing = handle.state === 'listening'
    handle.state = 'stopped'
    if (this.#stopping !== null || this.#generation === 0 || !wasServing) return
    this.#respawn(handle)
  }

  #respawn(handle: WorkerHandle): void {
    const nowMs = systemClock.now()
    handle.failures = nowMs - handle.startedMs > RESPAWN_FORGIVEN_MS ? 0 : handle.failures + 1
    const delayMs = handle.failures === 0 ? 0 : Math.min(RESPAWN_MAX_DELAY_MS, RESPAWN_DELAY_MS * 2 ** (handle.failures - 1))
    this.#options.log.error('a worker died and is replaced', { worker: handle.index, delayMs })
    createCounter(this.#metrics.registry, METRICS.workerRestarts, {}).add(1)
    setTimeout(() => {
      void this.#enqueue(async () => {
        if (this.#stopping !== null) return
        handle.restart()
        try {
          await this.#bring(handle)
        } catch (error) {
          this.#options.log.error('a replaced worker could not start', { worker: handle.index, error })
          void handle.terminate()
          this.#respawn(handle)
        }
      })
    }, delayMs)
  }

  /** Gives a new worker the configuration in force. */
  async #bring(handle: WorkerHandle): Promise<void> {
    const problem = await this.#prepare(handle)
    if (problem !== null) throw new Error(problem)
    if (!(await this.#commit(handle))) throw new Error('the worker ended while it took over the configuration')
    // A stop may have begun meanwhile.
    if (handle.state === 'starting') handle.state = 'listening'
  }

  async #prepare(handle: WorkerHandle): Promise<string | null> {
    const message: PrepareMessage = {
      type: 'prepare',
      generation: this.#generation,
      config: this.#config,
      layout: (this.#lease as StateLease).endpoints.layout,
      governance: (this.#lease as StateLease).governance.layout,
      module: this.#module,
      tls: this.#tls,
      ticketKeys: this.#ticketKeys.current,
      env: { ...process.env },
      ports: Object.fromEntries(this.#ports),
      rows: this.#rows.of(Object.values(this.#config.listeners)),
    }
    const { generation } = message
    const answer = await handle.ask(
      message,
      (reply) => (reply.type === 'prepared' || reply.type === 'refused') && reply.generation === generation,
    )
    if (answer === null) return 'a worker ended while it was preparing the configuration'
    if (answer.type === 'refused') return answer.message
    if (answer.type === 'prepared') for (const [name, port] of Object.entries(answer.ports)) this.#ports.set(name, port)
    return null
  }

  /** False: the worker ended before. */
  async #commit(handle: WorkerHandle): Promise<boolean> {
    const generation = this.#generation
    const isAnswer = (reply: FromWorker) => reply.type === 'committed' && reply.generation === generation
    if ((await handle.ask({ type: 'commit', generation }, isAnswer)) === null) return false
    handle.generation = generation
    return true
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(task)
    this.#queue = result.catch(() => undefined)
    return result
  }

  // ---- admin ----

  #adminSource(): AdminSource {
    return {
      readiness: () => this.#currentReadiness(),
      metricsText: () => formatPrometheus(this.#metrics.snapshot()),
      config: () => this.#config,
      version: () => ({ version: this.#options.version, node: process.versions.node }),
      reload: () => this.reload(),
      workers: () => this.#handles.map(({ index, state, restarts, generation }) => ({ id: index, state, restarts, generation })),
      services: () =>
        describeServices({
          services: Object.values(this.#config.services),
          statistics: this.#states.statistics(),
          limits: this.#governance.limits.status(this.#config),
          healthOf: (service, address) => this.#health.describe(service, address),
          watch: this.#watch,
          wallClockMs: systemClock.wallClock(),
        }),
    }
  }

  #currentReadiness(): Readiness {
    if (this.#readiness.state !== 'ready') return this.#readiness
    if (this.#handles.some((handle) => handle.state === 'listening')) return this.#readiness
    return { state: 'no_worker', detail: 'No worker is serving.' }
  }

  // ---- the end ----

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /**
   * In this order: not ready (whoever balances over gateways looks elsewhere), workers drain (nothing that runs is cut off within
   * the time), admin last (so that the drain can be watched).
   */
  async #stop(): Promise<void> {
    this.#readiness = { state: 'draining', detail: 'The gateway is shutting down.' }
    const timeoutMs = this.#config.drainTimeoutMs
    await Promise.all(this.#handles.map((handle) => this.#drainWorker(handle, timeoutMs)))
    await this.terminate()
    this.#options.log.info('stopped')
    this.#resolveStopped()
  }

  async #drainWorker(handle: WorkerHandle, timeoutMs: number): Promise<void> {
    if (handle.state === 'stopped') return
    handle.state = 'draining'
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), timeoutMs + DRAIN_MARGIN_MS)
    })
    await Promise.race([handle.ask({ type: 'drain', timeoutMs }, (reply) => reply.type === 'drained'), late])
    clearTimeout(timer)
  }

  /** Ends everything at once. */
  async terminate(): Promise<void> {
    this.#stopping ??= Promise.resolve()
    this.#ticketKeys.stop()
    this.#certificates.stop()
    this.#health.stop()
    clearInterval(this.#watching)
    await Promise.all(this.#handles.map((handle) => handle.terminate()))
    await this.#admin.close()
  }
}

/** What goes wrong outside the configuration file has no place in it. */
function problemOf(message: string): ConfigProblem {
  return { file: '', line: 0, column: 0, path: '', message, sourceLine: '' }
}
