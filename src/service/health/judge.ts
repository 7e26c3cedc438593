import type { Health } from '../endpoint-control.ts'

export interface Thresholds {
  /** Failed checks in a row that make an endpoint unhealthy. */
  readonly unhealthyAfter: number
  /** Passed checks in a row that make an unhealthy one healthy. One that is not yet known needs a single one. */
  readonly healthyAfter: number
}

/**
 * What the checks of one endpoint come to:
 *
 *   unknown --(1 passed)--------------------------> healthy
 *      |                                            |     ^
 *      +--(unhealthyAfter failed)--> unhealthy <----+     |
 *                                        +--(healthyAfter passed)
 */
export class Judge {
  health: Health
  /** Passed or failed checks in a row, whichever came last. */
  passed = 0
  failed = 0

  constructor(health: Health) {
    this.health = health
  }

  /** Returns whether `health` has changed. */
  record(isPassed: boolean, thresholds: Thresholds): boolean {
    const before = this.health
    if (isPassed) {
      this.failed = 0
      this.passed++
      if (before === 'unknown' || (before === 'unhealthy' && this.passed >= thresholds.healthyAfter)) this.health = 'healthy'
    } else {
      this.passed = 0
      this.failed++
      if (before !== 'unhealthy' && this.failed >= thresholds.unhealthyAfter) this.health = 'unhealthy'
    }
    return this.health !== before
  }

  /** What was counted belongs to a check that is no more; what it came to stays. */
  startOver(): void {
    this.passed = 0
    this.failed = 0
  }
}
