import { escapeText } from './escape.ts'

/** ISO 8601 in UTC with milliseconds. Most lines fall into the same second as the one before, so only the rest is made anew. */
export class TimeText {
  #second = Number.NaN
  #secondText = ''

  format(timeMs: number): string {
    const second = Math.floor(timeMs / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 19)
    }
    const rest = Math.floor(timeMs) - second * 1000
    return `${this.#secondText}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`
  }
}

/**
 * Escapes a field that mostly has the value it had in the line before. To compare with that is several times cheaper than to
 * look at every character again (bench/micro/observe).
 */
export class EscapedText {
  #text = ''
  #escaped = ''

  of(text: string): string {
    if (text !== this.#text) {
      this.#escaped = escapeText(text)
      this.#text = text
    }
    return this.#escaped
  }
}

/** Milliseconds with three digits behind the point. By whole numbers, which become text several times faster than fractions. */
export function formatDuration(durationMs: number, absent: string): string {
  if (!(durationMs >= 0)) return absent
  const microseconds = Math.round(durationMs * 1000)
  const whole = Math.floor(microseconds / 1000)
  const rest = microseconds - whole * 1000
  return `${whole}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`
}
