import type { Parsed } from './scalar.ts'
import { text } from './schema-kit.ts'

/** A share written as `70%`, as a number from 0 to 1. A bare number is refused: 0.7 and 70 would both be guesses. */
export function percentage(least: number, most: number) {
  const expected = `expected a percentage from ${least}% to ${most}%`
  const parse = (value: string): Parsed<number> => {
    const match = /^(\d{1,3}(?:\.\d+)?)%$/.exec(value)
    const percent = match === null ? Number.NaN : Number(match[1])
    return percent >= least && percent <= most ? { value: percent / 100 } : { problem: expected }
  }
  return text(expected, parse, { pattern: '^[0-9]{1,3}(\\.[0-9]+)?%$', examples: [`${most}%`] })
}
