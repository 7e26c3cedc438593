/**
 * Outlier ejection: which endpoints of a service are so much worse than the others that they get no traffic for a while. The sweep
 * runs on one thread at a fixed interval; only the number of ejected endpoints is shared (ejection-gate.ts).
 */
export interface EjectionConfig {
  /** Failures in a row that eject; 0: off. */
  readonly consecutiveFailures: number
  /** Ejects when the success rate lies this many standard deviations below the mean of all endpoints; 0: off. Envoy's is 1.9. */
  readonly successRateSigmas: number
  /** Endpoints that need `minRequests` in the interval before rates or latencies are compared. */
  readonly minEndpoints: number
  readonly minRequests: number
  /** Ejects when the latency is this many times the median of all endpoints; 0: off. */
  readonly latencyFactor: number
  /** Latencies below this are never outliers, whatever the factor. */
  readonly minLatencyMs: number
  /** Time of the first ejection; the nth in a row lasts n times as long. */
  readonly baseEjectionMs: number
  readonly maxEjectionMs: number
  /** Most of the endpoints that may be ejected at once, 0 to 1; one always may when there are at least two, all never. */
  readonly maxEjectedRatio: number
}

/** Envoy's defaults where it has them, but with the latency rule off and half of the endpoints at most. */
export const EJECTION_DEFAULTS: EjectionConfig = {
  consecutiveFailures: 5,
  successRateSigmas: 1.9,
  minEndpoints: 5,
  minRequests: 100,
  latencyFactor: 0,
  minLatencyMs: 10,
  baseEjectionMs: 30_000,
  maxEjectionMs: 300_000,
  maxEjectedRatio: 0.5,
}

/** What one endpoint did in the interval that ended. */
export interface EndpointSample {
  readonly requests: number
  readonly failures: number
  /** Failures since its last success, over intervals. */
  readonly consecutiveFailures: number
  /** Typical latency (mean or median) in the interval; negative when unknown. */
  readonly latencyMs: number
}

export type EjectionCause = 'consecutive-failures' | 'success-rate' | 'latency'

export type EjectionChange =
  | { readonly kind: 'ejected'; readonly endpoint: number; readonly cause: EjectionCause; readonly untilMs: number }
  /** The failures in a row are to be counted from 0 again. */
  | { readonly kind: 'returned'; readonly endpoint: number }
  /** An outlier that was kept, because too many are ejected already. */
  | { readonly kind: 'kept'; readonly endpoint: number; readonly cause: EjectionCause }

interface Tracked {
  /** 0: in use. */
  untilMs: number
  /** Ejections in a row; falls by one in each interval without ejection. */
  ejections: number
}

/** How many of `endpoints` may be ejected at once: the share, at least one, and never all. */
export function maxEjectable(endpoints: number, maxEjectedRatio: number): number {
  // A share such as 0.29 * 100 must not fall below its whole number by the last digit.
  const share = Math.floor(endpoints * maxEjectedRatio + 1e-9)
  return Math.max(0, Math.min(endpoints - 1, Math.max(1, share)))
}

/** The ejections of one service. Endpoints have names (addresses), so the state survives changes of the set. */
export class OutlierEjection {
  readonly #config: EjectionConfig
  readonly #tracked = new Map<string, Tracked>()

  constructor(config: EjectionConfig) {
    this.#config = config
  }

  isEjected(address: string): boolean {
    return (this.#tracked.get(address)?.untilMs ?? 0) !== 0
  }

  /**
   * One interval ended: `samples[i]` belongs to `addresses[i]`. Returns what changed; the worst outliers are ejected first, and
   * endpoints that are no longer named are forgotten. A passing active health check brings one back with `readmit`.
   */
  sweep(addresses: readonly string[], samples: readonly EndpointSample[], nowMs: number): EjectionChange[] {
    this.#forget(addresses)
    const changes: EjectionChange[] = []
    const states = addresses.map((address) => this.#track(address))
    for (let i = 0; i < states.length; i++) this.#return(states[i]!, i, nowMs, changes)
    let ejected = states.reduce((count, state) => count + (state.untilMs === 0 ? 0 : 1), 0)
    const allowed = maxEjectable(addresses.length, this.#config.maxEjectedRatio)
    const returned = new Set(changes.map(({ endpoint }) => endpoint))
    const outliers = this.#findOutliers(states, samples, returned)
    for (const { endpoint, cause } of outliers) {
      if (ejected >= allowed) {
        changes.push({ kind: 'kept', endpoint, cause })
        continue
      }
      ejected++
      changes.push({ kind: 'ejected', endpoint, cause, untilMs: this.#eject(states[endpoint]!, nowMs) })
    }
    this.#forgive(states, outliers, returned)
    // A change of the set may leave only ejected endpoints behind: those that have waited longest come back.
    this.#releaseExcess(states, ejected - allowed, changes)
    return changes
  }

  readmit(address: string): void {
    const tracked = this.#tracked.get(address)
    if (tracked !== undefined) tracked.untilMs = 0
  }

  #eject(state: Tracked, nowMs: number): number {
    const { baseEjectionMs, maxEjectionMs } = this.#config
    state.ejections++
    state.untilMs = nowMs + Math.min(baseEjectionMs * state.ejections, maxEjectionMs)
    return state.untilMs
  }

  #return(state: Tracked, endpoint: number, nowMs: number, changes: EjectionChange[]): void {
    if (state.untilMs === 0 || nowMs < state.untilMs) return
    state.untilMs = 0
    changes.push({ kind: 'returned', endpoint })
  }

  /** An interval in use without being an outlier takes one ejection back. */
  #forgive(states: readonly Tracked[], outliers: readonly Outlier[], returned: ReadonlySet<number>): void {
    const bad = new Set(outliers.map(({ endpoint }) => endpoint))
    for (let i = 0; i < states.length; i++) {
      const state = states[i]!
      if (state.untilMs === 0 && state.ejections > 0 && !bad.has(i) && !returned.has(i)) state.ejections--
    }
  }

  #releaseExcess(states: readonly Tracked[], excess: number, changes: EjectionChange[]): void {
    for (; excess > 0; excess--) {
      let first = -1
      for (let i = 0; i < states.length; i++) {
        const { untilMs } = states[i]!
        if (untilMs !== 0 && (first === -1 || untilMs < states[first]!.untilMs)) first = i
      }
      if (first === -1) return
      states[first]!.untilMs = 0
      changes.push({ kind: 'returned', endpoint: first })
    }
  }

  #findOutliers(states: readonly Tracked[], samples: readonly EndpointSample[], returned: ReadonlySet<number>): Outlier[] {
    const found = new Map<number, Outlier>()
    const add = (endpoint: number, cause: EjectionCause, badness: number) => {
      const isInUse = states[endpoint]!.untilMs === 0
      // Its failures in a row are from before it was ejected.
      if (!isInUse || found.has(endpoint) || (cause === 'consecutive-failures' && returned.has(endpoint))) return
      found.set(endpoint, { endpoint, cause, badness })
    }
    const { consecutiveFailures } = this.#config
    if (consecutiveFailures > 0) {
      for (let i = 0; i < states.length; i++) {
        const failures = samples[i]!.consecutiveFailures
        // Failing always comes before failing often or answering slowly.
        if (failures >= consecutiveFailures) add(i, 'consecutive-failures', 2 + failures)
      }
    }
    this.#findRateOutliers(states, samples, add)
    this.#findLatencyOutliers(states, samples, add)
    return [...found.values()].sort((a, b) => b.badness - a.badness)
  }

  #findRateOutliers(states: readonly Tracked[], samples: readonly EndpointSample[], add: AddOutlier): void {
    const { successRateSigmas, minEndpoints } = this.#config
    if (successRateSigmas <= 0) return
    const compared = this.#comparable(states, samples)
    if (compared.length < Math.max(1, minEndpoints)) return
    const rates = compared.map((i) => 1 - samples[i]!.failures / samples[i]!.requests)
    const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length
    const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length
    const threshold = mean - successRateSigmas * Math.sqrt(variance)
    for (let k = 0; k < compared.length; k++) if (rates[k]! < threshold) add(compared[k]!, 'success-rate', 1 + (mean - rates[k]!))
  }

  #findLatencyOutliers(states: readonly Tracked[], samples: readonly EndpointSample[], add: AddOutlier): void {
    const { latencyFactor, minLatencyMs, minEndpoints } = this.#config
    if (latencyFactor <= 0) return
    const compared = this.#comparable(states, samples).filter((i) => samples[i]!.latencyMs >= 0)
    if (compared.length < Math.max(2, minEndpoints)) return
    const sorted = compared.map((i) => samples[i]!.latencyMs).sort((a, b) => a - b)
    // The lower middle: with two endpoints the slow one must not be compared with itself.
    const median = sorted[(sorted.length - 1) >> 1]!
    const threshold = Math.max(median * latencyFactor, minLatencyMs)
    for (const i of compared) {
      const { latencyMs } = samples[i]!
      if (latencyMs > threshold) add(i, 'latency', 1 - threshold / latencyMs)
    }
  }

  /** Endpoints in use with enough requests. */
  #comparable(states: readonly Tracked[], samples: readonly EndpointSample[]): number[] {
    const minRequests = Math.max(1, this.#config.minRequests)
    const compared: number[] = []
    for (let i = 0; i < states.length; i++) if (states[i]!.untilMs === 0 && samples[i]!.requests >= minRequests) compared.push(i)
    return compared
  }

  #track(address: string): Tracked {
    let tracked = this.#tracked.get(address)
    if (tracked === undefined) {
      tracked = { untilMs: 0, ejections: 0 }
      this.#tracked.set(address, tracked)
    }
    return tracked
  }

  #forget(addresses: readonly string[]): void {
    const named = new Set(addresses)
    for (const address of this.#tracked.keys()) if (!named.has(address)) this.#tracked.delete(address)
  }
}

interface Outlier {
  readonly endpoint: number
  readonly cause: EjectionCause
  readonly badness: number
}

type AddOutlier = (endpoint: number, cause: EjectionCause, badness: number) => void
