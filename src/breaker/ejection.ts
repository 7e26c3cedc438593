/**
 * Outlier ejection: which endpoints of a service are so much worse than the others that they get no traffic for a while. One thread
 * compares all of them after each interval. Failing is no reason as long as the others fail as well: then the service is ill, or what
 * it depends on, and fewer endpoints would not help.
 */
export interface EjectionRules {
  /** Ejects at this share of errors, 0 to 1, when the others have less than half of the endpoint's; null: off. */
  readonly errorRateRatio: number | null
  /** Ejects when the mean latency is more than this many times that of the others; null: off. */
  readonly latencyFactor: number | null
  /** A latency up to this is never an outlier, whatever the factor. */
  readonly minLatencyMs: number
  /** Results in the interval below which an endpoint is not compared. */
  readonly minRequests: number
  /** Endpoints with enough results that are needed for a comparison. At least 2. */
  readonly minEndpoints: number
  /** Time of the first ejection; the nth in a row lasts n times as long. */
  readonly ejectionMs: number
  readonly maxEjectionMs: number
}

/** What can be written in one line: errors only. */
export const EJECTION_DEFAULTS: EjectionRules = {
  errorRateRatio: 0.5,
  latencyFactor: null,
  minLatencyMs: 50,
  minRequests: 100,
  minEndpoints: 2,
  ejectionMs: 30_000,
  maxEjectionMs: 300_000,
}

/** What one endpoint did in the interval that ended. */
export interface EndpointSample {
  readonly results: number
  readonly errors: number
  /** Mean; negative when unknown. */
  readonly latencyMs: number
  /** Whether it gets requests now. */
  readonly isInUse: boolean
}

export type EjectionCause = 'error-rate' | 'latency'

/** An endpoint that is worse than the others: its share of errors (0 to 1) or mean latency in ms, and that of the others. */
export interface Outlier {
  readonly endpoint: number
  readonly cause: EjectionCause
  readonly value: number
  readonly others: number
}

interface Tracked {
  /** Ejections in a row; falls by one in each interval in use that is not bad. */
  ejections: number
  wasInUse: boolean
}

/** Another endpoint's error rate must be below this part of an outlier's. */
const CLEARLY_BETTER = 0.5

/** How many of `endpoints` may be out of use at once: the share, at least one, and never all. */
export function maxEjectable(endpoints: number, maxEjectedRatio: number): number {
  // A share such as 0.29 * 100 must not fall below its whole number by the last digit.
  const share = Math.floor(endpoints * maxEjectedRatio + 1e-9)
  return Math.max(0, Math.min(endpoints - 1, Math.max(1, share)))
}

/** The ejections of one service. Endpoints have names (addresses), so how often each was ejected survives changes of the set. */
export class OutlierEjection {
  readonly #rules: EjectionRules
  readonly #tracked = new Map<string, Tracked>()

  constructor(rules: EjectionRules) {
    this.#rules = rules
  }

  /**
   * One interval ended: `samples[i]` belongs to `addresses[i]`; endpoints that are no longer named are forgotten. `tryEject` is called
   * for each outlier, the worst first, with the time it is to stay out; it says whether it was done.
   */
  sweep(
    addresses: readonly string[],
    samples: readonly EndpointSample[],
    tryEject: (outlier: Outlier, durationMs: number) => boolean,
  ): void {
    this.#forget(addresses)
    const bad = new Set<number>()
    for (const outlier of findOutliers(this.#rules, samples)) {
      bad.add(outlier.endpoint)
      const tracked = this.#track(addresses[outlier.endpoint]!)
      const { ejectionMs, maxEjectionMs } = this.#rules
      if (tryEject(outlier, Math.min(ejectionMs * (tracked.ejections + 1), Math.max(ejectionMs, maxEjectionMs)))) tracked.ejections++
    }
    for (const [i, { isInUse }] of samples.entries()) {
      const tracked = this.#track(addresses[i]!)
      if (isInUse && tracked.wasInUse && !bad.has(i) && tracked.ejections > 0) tracked.ejections--
      tracked.wasInUse = isInUse && !bad.has(i)
    }
  }

  #track(address: string): Tracked {
    let tracked = this.#tracked.get(address)
    if (tracked === undefined) {
      tracked = { ejections: 0, wasInUse: false }
      this.#tracked.set(address, tracked)
    }
    return tracked
  }

  #forget(addresses: readonly string[]): void {
    const named = new Set(addresses)
    for (const address of this.#tracked.keys()) if (!named.has(address)) this.#tracked.delete(address)
  }
}

/** The worst first: errors before slowness, each by how far it is from the others. */
function findOutliers(rules: EjectionRules, samples: readonly EndpointSample[]): Outlier[] {
  const minRequests = Math.max(1, rules.minRequests)
  const compared = [...samples.keys()].filter((i) => samples[i]!.isInUse && samples[i]!.results >= minRequests)
  if (compared.length < Math.max(2, rules.minEndpoints)) return []
  const failing = findFailing(rules, samples, compared)
  const known = new Set(failing.map(({ endpoint }) => endpoint))
  const slow = findSlow(rules, samples, compared).filter(({ endpoint }) => !known.has(endpoint))
  return [...failing, ...slow]
}

function findFailing({ errorRateRatio }: EjectionRules, samples: readonly EndpointSample[], compared: readonly number[]): Outlier[] {
  if (errorRateRatio === null) return []
  const rateOf = (i: number) => samples[i]!.errors / samples[i]!.results
  return compareEach(compared, rateOf, 'error-rate')
    .filter(({ value, others }) => value > 0 && value >= errorRateRatio - 1e-9 && others < value * CLEARLY_BETTER)
    .sort((a, b) => b.value - b.others - (a.value - a.others))
}

function findSlow(
  { latencyFactor, minLatencyMs }: EjectionRules,
  samples: readonly EndpointSample[],
  compared: readonly number[],
): Outlier[] {
  if (latencyFactor === null) return []
  const known = compared.filter((i) => samples[i]!.latencyMs >= 0)
  if (known.length < 2) return []
  return compareEach(known, (i) => samples[i]!.latencyMs, 'latency')
    .filter(({ value, others }) => value > Math.max(others * latencyFactor, minLatencyMs))
    .sort((a, b) => b.value - a.value)
}

/**
 * Each with the median of the others, of two middle ones the better: half of the endpoints may be bad together and are still found, and
 * when more are, none is.
 */
function compareEach(compared: readonly number[], measure: (endpoint: number) => number, cause: EjectionCause): Outlier[] {
  const sorted = compared.map(measure).sort((a, b) => a - b)
  return compared.map((endpoint) => {
    const value = measure(endpoint)
    // Without the value itself, which stands at `own`.
    const own = sorted.indexOf(value)
    const middle = (sorted.length - 2) >> 1
    return { endpoint, cause, value, others: sorted[middle < own ? middle : middle + 1]! }
  })
}
