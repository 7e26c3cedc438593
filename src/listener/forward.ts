import { isDeepStrictEqual } from 'node:util'
import { Timed } from '../base/timers.ts'
import { ServiceMetrics } from '../observe/service-metrics.ts'
import { ForwardProxy } from '../proxy/forward.ts'
import type { ForwardRuntime } from '../proxy/forward-runtime.ts'
import { ForwardService } from '../proxy/forward-service.ts'
import type { ProxyContext } from '../proxy/runtime.ts'
import { PoolSet } from '../upstream/pool-set.ts'
import type { BoundListener } from './bound-listener.ts'
import { HttpListener, type HttpListenerOptions } from './server.ts'

export interface ForwardListenerOptions extends Omit<HttpListenerOptions, 'runtime' | 'events'> {
  readonly runtime: ForwardRuntime
  readonly context: ProxyContext
}

const SWEEP_MS = 5000

class Sweep extends Timed {
  readonly #run: () => void

  constructor(run: () => void) {
    super()
    this.#run = run
  }

  override onDeadline(): void {
    this.#run()
  }
}

/** One bound address whose clients use Sluice as their proxy: an HTTP listener with a proxy of its own behind it. */
export class ForwardListener implements BoundListener {
  runtime: ForwardRuntime
  readonly #options: ForwardListenerOptions
  readonly #proxy: ForwardProxy
  readonly #http: HttpListener
  readonly #sweep: Sweep
  #service: ForwardService

  constructor(options: ForwardListenerOptions) {
    const { runtime, context } = options
    this.#options = options
    this.runtime = runtime
    this.#proxy = new ForwardProxy(context, runtime)
    this.#service = this.#createService(runtime)
    this.#proxy.use(runtime, this.#service)
    this.#http = new HttpListener({ ...options, runtime: runtime.http, events: this.#proxy })
    this.#sweep = new Sweep(() => {
      this.#service.sweep()
      this.#armSweep()
    })
    this.#armSweep()
  }

  #armSweep(): void {
    this.#options.wheel.arm(this.#sweep, this.#options.now() + SWEEP_MS)
  }

  #createService({ config, name, registry, lookups }: ForwardRuntime): ForwardService {
    const { workers, wheel, context, log } = this.#options
    const service = { ...config.service, name: `forward:${name}` }
    const metrics = new ServiceMetrics(registry, service.name)
    const pools = new PoolSet({
      config: service,
      workers,
      clock: context.clock,
      wheel,
      lookups,
      texts: {},
      log,
      events: this.#proxy.handler,
      idle: metrics.idleConnections,
      busy: metrics.busyConnections,
    })
    return new ForwardService({ config: service, clock: context.clock, metrics, pools, maxDestinations: config.maxDestinations })
  }

  listen(host: string, port: number): Promise<number> {
    return this.#http.listen(host, port)
  }

  use(runtime: ForwardRuntime): void {
    const before = this.runtime
    this.runtime = runtime
    const { config, name } = before
    const isSame =
      name === runtime.name &&
      config.maxDestinations === runtime.config.maxDestinations &&
      isDeepStrictEqual(config.service, runtime.config.service)
    if (!isSame) {
      // Its requests end on the connections they have.
      this.#service.close()
      this.#service = this.#createService(runtime)
    }
    this.#proxy.use(runtime, this.#service)
    this.#http.use(runtime.http)
  }

  stopListening(): Promise<void> {
    return this.#http.stopListening()
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#http.drain(timeoutMs)
    this.#end()
  }

  close(): void {
    this.#http.close()
    this.#end()
  }

  #end(): void {
    this.#options.wheel.remove(this.#sweep)
    this.#service.close()
  }
}
