/**
 * The words of the benchmark. A competitor is a program that can stand between the load and the upstream; a scenario is a
 * question asked of it; a contender is one competitor set up for one scenario; a pair is two contenders measured in turns.
 */

/**
 * What is spoken on one side of a proxy. `http2` and `grpc` are without TLS (prior knowledge), `https` is HTTP/1.1 over TLS,
 * `websocket` HTTP/1.1 whose connections become WebSockets, `tcp` bytes that are passed on as they are.
 */
export type Protocol = 'http1' | 'https' | 'http2' | 'grpc' | 'websocket' | 'tcp'

/** A server behind the proxies: see harness/upstream.ts. */
export type UpstreamName = 'small' | 'large' | 'grpc' | 'grpc-stream' | 'echo' | 'redis'

/** How a scenario wants a proxy set up. The same for both contenders of a pair, except when a program is compared with itself. */
export interface ProxySetup {
  readonly downstream: Protocol
  readonly upstream: Protocol
  /** Prefix routes `/r00000` to `/r<n-1>`, all to the same upstream, before the one that matches everything. */
  readonly routes: number
  /** `all`: health checks, ejection, retry budget, breaker and concurrency limit are configured. Left out: whatever is the default. */
  readonly resilience?: 'all'
}

/** Paths of a certificate for 127.0.0.1 with a P-256 key, and of both in one file, as HAProxy wants it. */
export interface Certificate {
  readonly cert: string
  readonly key: string
  readonly both: string
}

/** What a competitor is told when it writes its configuration. */
export interface Placement extends ProxySetup {
  /** An empty folder of its own, removed after the run. */
  readonly folder: string
  readonly port: number
  /** For a second listener (health, metrics) where the program has one. */
  readonly adminPort: number
  readonly upstreamPort: number
  /** Present exactly when `downstream` is `https`. */
  readonly certificate: Certificate | null
}

/** How a competitor is started: its configuration files and a command line. It must stay in the foreground. */
export interface Launch {
  /** File name in the placement's folder -> text. */
  readonly files: Readonly<Record<string, string>>
  readonly command: readonly [string, ...string[]]
  readonly environment?: Readonly<Record<string, string>>
}

/** A program that can be measured. */
export interface Competitor {
  /** As in `--against`. */
  readonly name: string
  readonly title: string
  /** The version, or null when the program is not installed. */
  readonly version: () => string | null
  /** What to do when it is missing. */
  readonly install: string
  /** What it cannot do of a setup, and what to do about it where something can be done; null: nothing is missing. */
  readonly lacks: (setup: ProxySetup) => string | null
  readonly launch: (placement: Placement) => Launch
}

/** The median ratio a scenario should show against one competitor (or against `itself`). */
export interface Goal {
  readonly against: string
  readonly mustReach: number
  readonly aim: number | null
}

interface ScenarioBase {
  /** As in `--only`. */
  readonly name: string
  readonly title: string
  readonly setup: ProxySetup
  readonly upstream: UpstreamName
  /** Names of competitors, or the other setup of the same program. */
  readonly compare: { readonly with: readonly string[] } | { readonly itself: ProxySetup; readonly labels: readonly [string, string] }
  readonly goals: readonly Goal[]
}

/** Requests per CPU-second under load; a higher ratio is better. */
export interface LoadScenario extends ScenarioBase {
  readonly kind: 'load'
  readonly generator: Generator
  /** What is counted, as it stands in the table: `requests`, `messages`, ... */
  readonly unit: string
}

/** Where a load generator sends its load. */
export interface LoadTarget {
  readonly port: number
  readonly seconds: number
  /** Requests go to `/r00000/x` ... `/r<routes-1>/x` in turn, where there are paths. */
  readonly routes: number
}

/** A program that makes load. */
export interface Generator {
  /** Name and version, for the report. */
  readonly title: () => string
  /** One run. Throws when the program is missing, fails, or does not end. */
  readonly run: (target: LoadTarget) => Promise<LoadReport>
}

/** Resident memory per idle connection; a lower ratio is better. */
export interface MemoryScenario extends ScenarioBase {
  readonly kind: 'memory'
  readonly idleConnections: number
  /** Pause after the last request before memory is read, so that collectors have run. */
  readonly settleSeconds: number
  /** Left out: each is a plain keep-alive connection. */
  readonly websocket?: true
  /** The goal for Sluice itself, in bytes per connection, beside the ratios. */
  readonly most?: { readonly mustReach: number; readonly aim: number | null }
}

export type Scenario = LoadScenario | MemoryScenario

/** What a load generator says about one run. */
export interface LoadReport {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Everything that went wrong, in words; empty when nothing did. */
  readonly errors: readonly string[]
}

/** One measured run of one contender under load. */
export interface LoadSample extends LoadReport {
  readonly kind: 'load'
  /** User and system time of the whole process tree. */
  readonly cpuSeconds: number
  /** CPUs that were busy with something that has nothing to do with the benchmark, on average. */
  readonly foreignCpus: number
  readonly requestsPerSecond: number
  /** The figure the ratio is made of. */
  readonly requestsPerCpuSecond: number
}

/** One measured run of one contender with idle connections. */
export interface MemorySample {
  readonly kind: 'memory'
  readonly rssBeforeBytes: number
  readonly rssAfterBytes: number
  /** The figure the ratio is made of. */
  readonly bytesPerConnection: number
  readonly errors: readonly string[]
}

export type Sample = LoadSample | MemorySample

/** Order statistics of a few figures. */
export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** One side of a row: who, and every round. */
export interface Side {
  readonly name: string
  readonly title: string
  readonly version: string
  readonly samples: readonly Sample[]
}

/** One line of a table: a pair that was measured, or the reason why it was not. */
export type Row = MeasuredRow | MissingRow

export interface MeasuredRow {
  readonly outcome: 'measured'
  readonly against: string
  readonly ours: Side
  readonly theirs: Side
  /** Ours to theirs, round by round. */
  readonly ratios: readonly number[]
  readonly ratio: Spread
  readonly goal: Goal | null
  /** Why the row does not count; empty for a valid row. */
  readonly invalid: readonly string[]
}

export interface MissingRow {
  readonly outcome: 'missing' | 'failed' | 'left out'
  readonly against: string
  readonly title: string
  readonly reason: string
}

/** Everything one scenario gave. */
export interface ScenarioResult {
  readonly scenario: Scenario
  readonly rows: readonly Row[]
}
