import { CIRCUIT_BREAKER_DEFAULTS, type CircuitBreakerConfig } from '../../src/breaker/circuit-breaker.ts'
import type { EjectionRules } from '../../src/breaker/ejection.ts'
import type { BalanceConfig } from '../../src/config/types.ts'
import type { ConcurrencyConfig } from '../../src/limit/concurrency.ts'
import type { GradientConfig } from '../../src/limit/gradient.ts'
import { RETRY_BUDGET_DEFAULTS, type RetryBudgetConfig } from '../../src/retry/budget.ts'
import type { HedgeConfig } from '../../src/retry/hedge.ts'
import { RETRY_POLICY_DEFAULTS, type RetryPolicyConfig } from '../../src/retry/policy.ts'
import type { Ejection } from '../../src/service/endpoint-state.ts'

/** What governs the traffic of a model gateway: configurations of the real algorithms. null is off. */
export interface Policies {
  readonly balance: BalanceConfig
  readonly ejection: Ejection
  /** Comparison of endpoints with each other, every 10 s. */
  readonly outliers: EjectionRules | null
  readonly retry: RetryPolicyConfig | null
  readonly budget: RetryBudgetConfig
  /** Whether the marks down and up the chain of gateways are sent and honoured. */
  readonly sendsMarks: boolean
  readonly requestMs: number
  readonly perTryMs: number | null
  readonly breaker: CircuitBreakerConfig | null
  /** Instead of the breaker: refuses by chance, as the SRE book has it. */
  readonly throttles: boolean
  readonly hedge: HedgeConfig | null
  readonly concurrency: (ConcurrencyConfig & { readonly gradient: GradientConfig | null; readonly ignoresTimeouts?: boolean }) | null
}

/** What a service has that names only its endpoints. A test holds it against the configuration's own defaults. */
export const DEFAULTS: Policies = {
  balance: { algorithm: 'round-robin' },
  ejection: { maxFails: 3, failTimeoutMs: 10_000 },
  outliers: null,
  retry: RETRY_POLICY_DEFAULTS,
  budget: RETRY_BUDGET_DEFAULTS,
  sendsMarks: true,
  requestMs: 15_000,
  perTryMs: null,
  breaker: null,
  throttles: false,
  hedge: null,
  concurrency: null,
}

/** The breaker as one line of configuration gives it: `breaker: {}`. */
export const BREAKER: CircuitBreakerConfig = CIRCUIT_BREAKER_DEFAULTS

/** A retry budget that never ends: for contrast. */
export const NO_BUDGET: RetryBudgetConfig = {
  ...RETRY_BUDGET_DEFAULTS,
  minConcurrency: 1e9,
  minPerSecond: 1e9,
  maxInVain: Number.POSITIVE_INFINITY,
}
