import type { HealthCheckConfig, StatusRange } from '../../config/types.ts'
import { PASSED, type ProbeOutcome } from './probe.ts'

/** The body is looked at no further. */
export const MAX_BODY_BYTES = 64 * 1024

export type HttpCheck = Extract<HealthCheckConfig, { kind: 'http' }>

/** The answer to a check by HTTP, as it comes, in whatever version. */
export class HttpAnswer {
  readonly #check: HttpCheck
  readonly #pieces: Buffer[] = []
  #bytes = 0

  constructor(check: HttpCheck) {
    this.#check = check
  }

  /** What its status says; null: the body decides. */
  readStatus(status: number): ProbeOutcome | null {
    const { statuses } = this.#check
    if (statuses.some(({ from, to }) => status >= from && status <= to)) return null
    return { result: 'fail', error: `status ${status}; expected ${formatStatuses(statuses)}` }
  }

  /** True: that is as much as is looked at. */
  readBody(piece: Buffer): boolean {
    if (this.#check.match !== null) this.#pieces.push(piece)
    this.#bytes += piece.length
    return this.#bytes >= MAX_BODY_BYTES
  }

  /** What the whole of it says. */
  judge(): ProbeOutcome {
    const { match } = this.#check
    if (match === null) return PASSED
    const body = Buffer.concat(this.#pieces).toString('utf8', 0, MAX_BODY_BYTES)
    if (match.test === 'contains' ? body.includes(match.text) : new RegExp(match.pattern).test(body)) return PASSED
    // What was looked for is in the configuration; what was found may be long, and a secret.
    const wanted = match.test === 'contains' ? JSON.stringify(match.text) : `match of ${match.pattern}`
    const where = this.#bytes >= MAX_BODY_BYTES ? 'the first 64 KiB of the body have' : 'the body has'
    return { result: 'fail', error: `${where} no ${wanted}` }
  }
}

function formatStatuses(ranges: readonly StatusRange[]): string {
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(', ')
}
