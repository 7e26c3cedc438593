import type { Random } from '../../src/base/clock.ts'
import { createSharedArea, type SharedArea } from '../../src/base/shared-area.ts'
import { ADAPTIVE_THROTTLE_DEFAULTS, AdaptiveThrottle, adaptiveThrottleWords } from '../../src/breaker/adaptive-throttle.ts'
import type { Breaker } from '../../src/breaker/breaker.ts'
import { CircuitBreaker, circuitBreakerWords } from '../../src/breaker/circuit-breaker.ts'
import type { EndpointConfig } from '../../src/config/types.ts'
import { ConcurrencyLimit, concurrencyWords } from '../../src/limit/concurrency.ts'
import { GradientLimit, gradientWords } from '../../src/limit/gradient.ts'
import { RetryBudget, retryBudgetWords } from '../../src/retry/budget.ts'
import { Hedge, hedgeWords } from '../../src/retry/hedge.ts'
import { RetryPolicy } from '../../src/retry/policy.ts'
import { createPicker, latencyTrackingOf } from '../../src/service/balance/index.ts'
import { createEndpoint, type Endpoint } from '../../src/service/endpoint.ts'
import { EndpointStateStore } from '../../src/service/endpoint-state-store.ts'
import { EndpointStates } from '../../src/service/endpoint-states.ts'
import type { Picker } from '../../src/service/picker.ts'
import { ModelExchange } from './model-exchange.ts'
import { startSweeps } from './outlier-sweep.ts'
import { DEFAULTS, type Policies } from './policies.ts'
import type { Simulation } from './simulation.ts'
import type { Answer, Call, Running, Upstream } from './upstream.ts'

const SERVICE = 'service'
/** How often a worker looks after its waiters. */
const POLL_MS = 5

/** An endpoint of a gateway: where it leads, and its weight. */
export interface Destination {
  readonly upstream: Upstream
  readonly weight?: number
}

/** One worker's views of everything, as src/proxy/runtime.ts has them. */
export interface ModelWorker {
  readonly simulation: Simulation
  readonly gateway: ModelGateway
  readonly random: Random
  readonly policies: Policies
  readonly policy: RetryPolicy | null
  readonly budget: RetryBudget
  readonly breaker: Breaker | null
  readonly hedge: Hedge | null
  readonly concurrency: ConcurrencyLimit | null
  readonly gradient: GradientLimit | null
  endpoints: readonly Endpoint[]
  picker: Picker
}

/** A gateway with one service: the real algorithms on real shared memory, one view for each worker, and virtual time. */
export class ModelGateway implements Upstream {
  readonly workers: ModelWorker[] = []
  readonly store: EndpointStateStore
  /** Requests that came, attempts made for them, and requests refused here. */
  requests = 0
  attempts = 0
  refused = 0
  backups = 0
  readonly #simulation: Simulation
  readonly #random: Random
  readonly #upstreams = new Map<string, Upstream>()
  readonly #states: EndpointStates[] = []
  #next = 0

  constructor(simulation: Simulation, destinations: readonly Destination[], policies: Partial<Policies> = {}, workers = 1) {
    this.#simulation = simulation
    this.#random = simulation.createRandom()
    const all: Policies = { ...DEFAULTS, ...policies }
    this.store = new EndpointStateStore({ workers, slotsPerSegment: destinations.length + 8 })
    const configs = this.#configure(destinations)
    const { layout } = this.store.retain([{ name: SERVICE, endpoints: configs }], simulation.nowMs - 86_400_000)
    const areas = createAreas(all, workers)
    for (let worker = 0; worker < workers; worker++) {
      const states = new EndpointStates(layout, worker)
      this.#states.push(states)
      this.workers.push(this.#createWorker(all, areas, states, configs, worker))
    }
    if (all.concurrency !== null) simulation.every(POLL_MS, () => this.#poll())
    if (all.outliers !== null) startSweeps(simulation, this.store, SERVICE, [...this.#upstreams.keys()], all.outliers)
  }

  /** Which upstream the kernel gives the connection to is chance; which worker takes it goes round. */
  send(call: Call, done: (answer: Answer) => void): Running {
    this.requests++
    const worker = this.workers[this.#next]!
    this.#next = (this.#next + 1) % this.workers.length
    return new ModelExchange(worker, call, done).begin()
  }

  upstreamOf(endpoint: Endpoint): Upstream {
    return this.#upstreams.get(endpoint.address)!
  }

  /** Another set of endpoints, as discovery would bring it: those that stay keep their state. */
  setDestinations(destinations: readonly Destination[]): void {
    const configs = this.#configure(destinations)
    const { layout } = this.store.retain([{ name: SERVICE, endpoints: configs }], this.#simulation.nowMs)
    for (const [index, worker] of this.workers.entries()) {
      const states = this.#states[index]!
      states.update(layout)
      worker.endpoints = createEndpoints(states, configs, worker.policies)
      const options = { random: worker.random, changes: states.changes(SERVICE), startOffset: index, previous: worker.picker }
      worker.picker = createPicker(worker.policies.balance, worker.endpoints, options)
    }
  }

  /** Places handed to other workers: in a process they are woken, here it happens at once. */
  passGrants(): void {
    if (this.workers.length > 1) for (const { concurrency } of this.workers) concurrency?.takeGrants()
  }

  #poll(): void {
    for (const { concurrency } of this.workers) if (concurrency !== null && concurrency.queued > 0) concurrency.poll(this.#simulation.nowMs)
  }

  #configure(destinations: readonly Destination[]): EndpointConfig[] {
    return destinations.map(({ upstream, weight = 1 }, i) => {
      const port = 1000 + i
      const address = `10.0.0.1:${port}`
      this.#upstreams.set(address, upstream)
      return { address, host: '10.0.0.1', port, weight, tags: {} }
    })
  }

  #createWorker(policies: Policies, areas: Areas, states: EndpointStates, configs: EndpointConfig[], worker: number): ModelWorker {
    const simulation = this.#simulation
    // Not one sequence for all gateways, or they would draw the same.
    const random = this.#random
    const endpoints = createEndpoints(states, configs, policies)
    // Gateways do not begin in step, as they were not started in the same instant.
    const startOffset = worker + Math.floor(random() * configs.length)
    const picker = createPicker(policies.balance, endpoints, { random, changes: states.changes(SERVICE), startOffset })
    const view = (area: SharedArea): SharedArea => ({ ...area, worker })
    const { concurrency } = policies
    const breaker = policies.breaker === null ? null : new CircuitBreaker(view(areas.breaker), policies.breaker)
    const throttle = policies.throttles ? new AdaptiveThrottle(view(areas.throttle), ADAPTIVE_THROTTLE_DEFAULTS, random) : null
    const gradient = concurrency?.gradient ?? null
    return {
      simulation,
      gateway: this,
      random,
      policies,
      policy: policies.retry === null ? null : new RetryPolicy(policies.retry),
      budget: new RetryBudget(view(areas.budget), policies.budget),
      breaker: throttle ?? breaker,
      hedge: policies.hedge === null ? null : new Hedge(view(areas.hedge), policies.hedge),
      concurrency: concurrency === null ? null : new ConcurrencyLimit(view(areas.concurrency), concurrency),
      gradient: gradient === null ? null : new GradientLimit(view(areas.gradient), gradient, random),
      endpoints,
      picker,
    }
  }
}

type Areas = ReturnType<typeof createAreas>

/** The memory all workers share. What is off takes none. */
function createAreas(policies: Policies, workers: number) {
  const area = (isOn: boolean, words: number) => createSharedArea(isOn ? words : 1, workers)
  const { concurrency } = policies
  return {
    budget: area(policies.retry !== null, retryBudgetWords(workers)),
    breaker: area(policies.breaker !== null, circuitBreakerWords(workers)),
    throttle: area(policies.throttles, adaptiveThrottleWords(workers)),
    hedge: area(policies.hedge !== null, hedgeWords(workers)),
    concurrency: area(concurrency !== null, concurrencyWords(workers)),
    gradient: area(concurrency !== null && concurrency.gradient !== null, gradientWords(workers)),
  }
}

function createEndpoints(
  states: EndpointStates,
  configs: readonly EndpointConfig[],
  { balance, ejection, outliers }: Policies,
): Endpoint[] {
  const latency = latencyTrackingOf(balance)
  const all = ejection === null ? null : { ...ejection, outliers }
  return configs.map((config) => createEndpoint(config, states.state(SERVICE, config.address, config.weight, all, latency)))
}
