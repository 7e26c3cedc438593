import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock, systemRandom } from './base/clock.ts'
import { SharedCounts } from './base/shared-counts.ts'
import { TimerWheel } from './base/timers.ts'
import type { CustomFunction } from './config/filter-schema.ts'
import { provideOwnPackage } from './config/own-package.ts'
import type { AccessLogConfig, FunctionRef, GatewayConfig, ListenerConfig } from './config/types.ts'
import type { BoundListener } from './listener/bound-listener.ts'
import { createListener, type ListenerEnvironment } from './listener/create.ts'
import { compileAccessLog } from './observe/access-log.ts'
import { createCounter } from './observe/handles.ts'
import type { Log, LogFields } from './observe/log.ts'
import { LogWriter } from './observe/log-writer.ts'
import { WorkerMetrics } from './observe/metrics.ts'
import { METRICS } from './observe/names.ts'
import { createMemoryReader, startEventLoopDelay } from './observe/process-metrics.ts'
import { createGatewayErrorMetrics } from './observe/request-metrics.ts'
import { ExchangeEntry } from './proxy/access-entry.ts'
import { RequestHandler } from './proxy/handle.ts'
import type { AnyListenerRuntime, ProxyContext } from './proxy/runtime.ts'
import { type FunctionLookup, type PreparedSnapshot, SnapshotBuilder } from './proxy/snapshot.ts'
import { createRouteTable } from './route/table.ts'
import { EndpointStates } from './service/endpoint-states.ts'
import { Governance } from './service/governance.ts'
import type { FromWorker, PrepareMessage, ToWorker, WorkerStart } from './worker-protocol.ts'

/** A configuration that is compiled and whose new listeners are bound, waiting for `commit`. */
interface Pending {
  readonly message: PrepareMessage
  readonly prepared: PreparedSnapshot
  readonly listeners: Map<string, BoundListener>
  readonly opened: BoundListener[]
  /** Opened because its path is new; null: the one in use stays, or there is none. */
  readonly accessLog: LogWriter | null
}

/** How often adaptive limits and the load shedder hear how the worker does. */
const LOAD_REPORT_MS = 100
/** Reading how much memory is in use costs more, and it changes more slowly. */
const REPORTS_PER_MEMORY_READING = 5

/** One worker thread: listeners, data path, and nothing else. The main thread tells it what to serve. */
class Worker {
  readonly #start: WorkerStart
  readonly #post: (message: FromWorker) => void
  readonly #wheel = new TimerWheel(systemClock)
  readonly #fineWheel = new TimerWheel(systemClock, { tickMs: 2 })
  readonly #connections: SharedCounts
  readonly #metrics: WorkerMetrics
  readonly #context: ProxyContext
  readonly #proxy: RequestHandler
  readonly #states: EndpointStates
  readonly #builder: SnapshotBuilder
  readonly #eventLoop
  readonly #publishing: NodeJS.Timeout
  readonly #reporting: NodeJS.Timeout
  readonly #readMemory = createMemoryReader()
  #memoryRatio = 0
  #loadReports = 0
  readonly #environment: ListenerEnvironment
  #listeners = new Map<string, BoundListener>()
  /** What a reload has taken away: listeners while their last requests run, logs while their last lines are written. */
  readonly #leaving = new Set<Promise<void>>()
  readonly #programLog: Log = {
    debug: (message, fields) => this.#log('debug', message, fields ?? {}),
    info: (message, fields) => this.#log('info', message, fields ?? {}),
    warn: (message, fields) => this.#log('warn', message, fields ?? {}),
    error: (message, fields) => this.#log('error', message, fields ?? {}),
  }
  #isDraining = false
  #pending: Pending | null = null
  #config: GatewayConfig | null = null
  #accessLog: LogWriter | null = null

  constructor(start: WorkerStart, post: (message: FromWorker) => void) {
    this.#start = start
    this.#post = post
    this.#connections = new SharedCounts(start.connections, start.workers)
    this.#metrics = new WorkerMetrics({ announce: (announcement) => post({ type: 'metrics', announcement }) })
    this.#context = {
      clock: systemClock,
      random: systemRandom,
      wheel: this.#wheel,
      fineWheel: this.#fineWheel,
      errors: createGatewayErrorMetrics(this.#metrics),
      nextRequestId: createRequestIds(),
      accessLog: null,
      logConnection: null,
      onDefect: (error, where) => this.#log('error', `${where} failed`, { error: describe(error) }),
      snapshot: { generation: 0, routes: createRouteTable([]), listeners: new Map(), shedder: null, loadListeners: [] },
    }
    this.#proxy = new RequestHandler(this.#context)
    this.#states = new EndpointStates({ segments: [], slots: {} }, start.worker)
    this.#builder = new SnapshotBuilder({
      gateway: `${hostname()} ${process.pid}`,
      worker: start.worker,
      workers: start.workers,
      clock: systemClock,
      random: systemRandom,
      wheel: this.#wheel,
      registry: this.#metrics,
      states: this.#states,
      onDefect: this.#context.onDefect,
      log: this.#programLog,
    })
    const { worker, workers } = start
    this.#environment = {
      events: this.#proxy,
      tcp: this.#context,
      wheel: this.#wheel,
      now: systemClock.now,
      worker,
      workers,
      connections: this.#connections,
      log: this.#programLog,
    }
    this.#eventLoop = startEventLoopDelay(this.#metrics, start.worker)
    this.#publishing = setInterval(() => this.#eventLoop.publish(), 1000)
    this.#reporting = setInterval(() => this.#reportLoad(), LOAD_REPORT_MS)
  }

  async receive(message: ToWorker): Promise<void> {
    switch (message.type) {
      case 'prepare':
        return this.#prepare(message)
      case 'commit':
        return this.#commit()
      case 'rollback':
        return this.#rollback()
      case 'reopen-logs':
        return this.#reopenAccessLog()
      case 'ticket-keys':
        return this.#builder.useTicketKeys(Buffer.from(message.keys))
      case 'drain':
        return this.#drain(message.timeoutMs)
    }
  }

  async #prepare(message: PrepareMessage): Promise<void> {
    const { config, generation } = message
    const opened: BoundListener[] = []
    let accessLog: LogWriter | null = null
    try {
      this.#states.update(message.layout)
      const functions = await createFunctionLookup(message)
      const listeners = new Map<string, BoundListener>()
      const ports = new Map<string, number>()
      for (const { name, address } of Object.values(config.listeners)) ports.set(name, message.ports[name] ?? address.port)
      // Compiled before any socket is opened: a mistake must show first. Again only when the system chose a port.
      const governance = new Governance(message.governance, this.#start.worker, systemRandom)
      const options = {
        ports,
        functions,
        governance,
        events: this.#proxy,
        tls: { texts: message.tls, ticketKeys: Buffer.from(message.ticketKeys) },
      }
      let prepared = this.#builder.prepare(config, generation, options)
      let isPortChosen = false
      for (const wantedListener of Object.values(config.listeners)) {
        const { name, address } = wantedListener
        const open = this.#openListener(wantedListener)
        if (open !== null) {
          listeners.set(name, open)
          continue
        }
        const listener = createListener(
          prepared.snapshot.listeners.get(name) as AnyListenerRuntime,
          this.#environment,
          message.rows[name] ?? 0,
        )
        opened.push(listener)
        listeners.set(name, listener)
        const wanted = ports.get(name) ?? 0
        const port = await listener.listen(address.host, wanted)
        ports.set(name, port)
        if (port !== wanted) isPortChosen = true
      }
      if (isPortChosen) prepared = this.#builder.prepare(config, generation, options)
      accessLog = this.#prepareAccessLog(config.accessLog)
      if (this.#isDraining) throw new Error('the worker is draining')
      // A new listener serves from the moment it is bound; nobody knows it yet, and it has a complete snapshot from here on.
      for (const listener of opened) listener.use(prepared.snapshot.listeners.get(listener.runtime.name) as AnyListenerRuntime)
      this.#pending = { message, prepared, listeners, opened, accessLog }
      this.#post({ type: 'prepared', generation, ports: Object.fromEntries(ports) })
    } catch (error) {
      for (const listener of opened) listener.close()
      void accessLog?.close()
      this.#post({ type: 'refused', generation, message: error instanceof Error ? error.message : String(error) })
    }
  }

  /**
   * What is already bound to the address: a listener is its address and protocol, whatever its name. A port that the system chose goes
   * by name. A listener that changes its protocol binds anew beside the old one, which drains.
   */
  #openListener({ name, address, protocol }: ListenerConfig): BoundListener | null {
    for (const [openName, open] of this.#listeners) {
      if (open.runtime.protocol !== protocol) continue
      const before = open.runtime.config.address
      if (before.host !== address.host || before.port !== address.port) continue
      if (address.port !== 0 || openName === name) return open
    }
    return null
  }

  async #commit(): Promise<void> {
    const pending = this.#pending
    if (pending === null) return
    this.#pending = null
    const { message, prepared, listeners } = pending
    this.#configureAccessLog(message.config.accessLog, pending.accessLog)
    this.#context.snapshot = prepared.snapshot
    for (const [name, listener] of listeners) listener.use(prepared.snapshot.listeners.get(name) as AnyListenerRuntime)
    const kept = new Set(listeners.values())
    const removed = [...this.#listeners.values()].filter((listener) => !kept.has(listener))
    for (const listener of removed) this.#letFinish(listener.drain(message.config.drainTimeoutMs))
    this.#listeners = listeners
    this.#config = message.config
    prepared.commit()
    // The next configuration may bind the same address again.
    await Promise.all(removed.map((listener) => listener.stopListening()))
    this.#post({ type: 'committed', generation: message.generation })
  }

  /** The thread does not end before this does. */
  #letFinish(work: Promise<void>): void {
    const leaving = work.finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }

  #rollback(): void {
    for (const listener of this.#pending?.opened ?? []) listener.close()
    void this.#pending?.accessLog?.close()
    this.#pending = null
  }

  /** Throws when the file cannot be opened: that must show before the configuration is in force. */
  #prepareAccessLog(after: AccessLogConfig | null): LogWriter | null {
    if (after === null || (this.#accessLog !== null && this.#config?.accessLog?.path === after.path)) return null
    return this.#openAccessLog(after.path)
  }

  #configureAccessLog(after: AccessLogConfig | null, opened: LogWriter | null): void {
    if (after === null || opened !== null) {
      if (this.#accessLog !== null) this.#letFinish(this.#accessLog.close())
      this.#accessLog = opened
    }
    const writer = this.#accessLog
    if (after === null || writer === null) {
      this.#context.accessLog = null
      this.#context.logConnection = null
      return
    }
    const format = compileAccessLog(after.format)
    const entry = new ExchangeEntry()
    this.#context.logConnection = (connection) => writer.write(format(connection))
    this.#context.accessLog = (x, durationMs, status) => {
      writer.write(format(entry.set(x, systemClock.wallClock(), durationMs, status)))
    }
  }

  #reopenAccessLog(): void {
    try {
      this.#accessLog?.reopen()
    } catch (error) {
      this.#log('error', 'the access log cannot be opened anew; the file before it stays in use', { error: describe(error) })
    }
  }

  #openAccessLog(path: string): LogWriter {
    try {
      return new LogWriter({
        path,
        schedule: (callback, delayMs) => {
          const timer = setTimeout(callback, delayMs)
          return () => clearTimeout(timer)
        },
        dropped: createCounter(this.#metrics, METRICS.accessLogDropped, {}),
        onError: (error) => this.#log('error', 'the access log cannot be written', { error: describe(error) }),
      })
    } catch (error) {
      throw new Error(`the access log cannot be opened: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }

  async #drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true
    this.#rollback()
    await Promise.all([...this.#leaving, ...[...this.#listeners.values()].map((listener) => listener.drain(timeoutMs))])
    this.#builder.close()
    await this.#accessLog?.flush()
    clearInterval(this.#publishing)
    clearInterval(this.#reporting)
    this.#eventLoop.stop()
    this.#wheel.stop()
    this.#fineWheel.stop()
    this.#post({ type: 'drained' })
  }

  /** Adaptive limits and the load shedder act on how late the event loop is and how full the memory. */
  #reportLoad(): void {
    const { loadListeners } = this.#context.snapshot
    if (loadListeners.length === 0) return
    const delayMs = this.#eventLoop.sampleMs()
    if (this.#loadReports++ % REPORTS_PER_MEMORY_READING === 0) this.#memoryRatio = this.#readMemory()
    const nowMs = systemClock.now()
    for (const listener of loadListeners) listener.reportLoad(delayMs, this.#memoryRatio, nowMs)
  }

  #log(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: LogFields): void {
    this.#post({ type: 'log', level, message, fields: { worker: this.#start.worker, ...fields } })
  }
}

/** Errors cross threads as text: a structured clone drops what makes them useful. */
function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Ids that no other worker or gateway makes: 64 random bits for the thread, then a count. */
function createRequestIds(): () => string {
  const prefix = randomBytes(8).toString('hex')
  let count = 0
  return () => `${prefix}-${(count++).toString(36)}`
}

/** Custom filters stand in the module of the configuration; each generation imports it anew. */
async function createFunctionLookup({ module, generation, env }: PrepareMessage): Promise<FunctionLookup> {
  if (module === null) {
    return (ref) => {
      throw new Error(`no module to take the function ${ref.name} from`)
    }
  }
  provideOwnPackage()
  const namespace: { default?: unknown } = await import(`${module}?generation=${generation}`)
  const exported = namespace.default
  const root: unknown = typeof exported === 'function' ? await exported({ env }) : await exported
  return (ref: FunctionRef) => {
    let value = root
    for (const key of ref.path) value = (value as Record<string | number, unknown> | null | undefined)?.[key]
    if (typeof value !== 'function')
      throw new Error(`there is no function at ${ref.path.join('.')}; the module must export the same each time`)
    return value as CustomFunction
  }
}

if (parentPort !== null) {
  const port = parentPort
  const worker = new Worker(workerData as WorkerStart, (message) => port.postMessage(message))
  // A promise that a custom filter lets float must not take the worker and everybody's requests with it.
  process.on('unhandledRejection', (error) => {
    port.postMessage({
      type: 'log',
      level: 'error',
      message: 'a promise that nobody waited for was rejected',
      fields: { error: describe(error) },
    })
  })
  // One message at a time: a prepare that is still binding must not be overtaken by what follows.
  let last: Promise<void> = Promise.resolve()
  port.on('message', (message: ToWorker) => {
    // But the end waits for nobody: a configuration that takes its time must not eat up the time for draining.
    if (message.type === 'drain') void worker.receive(message)
    else last = last.then(() => worker.receive(message))
  })
}
