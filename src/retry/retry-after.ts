/** No wait asked for, or one that cannot be read. */
export const NO_DELAY = -1
/** The server asks not to be tried again. */
export const DO_NOT_RETRY = -2

const MAX_DELAY_MS = 2 ** 31
const SECOND_MS = 1000

const MONTHS = 'janfebmaraprmayjunjulaugsepoctnovdec'
/** IMF-fixdate, the form every sender must use: "Sun, 06 Nov 1994 08:49:37 GMT". */
const IMF_FIXDATE = /^(?:mon|tue|wed|thu|fri|sat|sun), (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) gmt$/i
/** RFC 850, obsolete: "Sunday, 06-Nov-94 08:49:37 GMT". */
const RFC_850 = /^(?:mon|tues|wednes|thurs|fri|satur|sun)day, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) gmt$/i
/** asctime, obsolete: "Sun Nov  6 08:49:37 1994". */
const ASCTIME = /^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/i

/** Milliseconds since the epoch of an HTTP date (RFC 9110 5.6.7), in all three forms; NaN when it is none. */
export function parseHttpDateMs(value: string, nowWallMs: number): number {
  const imf = IMF_FIXDATE.exec(value)
  if (imf !== null) return dateMs(imf[3]!, imf[2]!, imf[1]!, imf[4]!, imf[5]!, imf[6]!)
  const rfc850 = RFC_850.exec(value)
  if (rfc850 !== null) return dateMs(fullYear(Number(rfc850[3]), nowWallMs), rfc850[2]!, rfc850[1]!, rfc850[4]!, rfc850[5]!, rfc850[6]!)
  const asctime = ASCTIME.exec(value)
  if (asctime !== null) return dateMs(asctime[6]!, asctime[1]!, asctime[2]!, asctime[3]!, asctime[4]!, asctime[5]!)
  return Number.NaN
}

/** A two-digit year that looks more than 50 years ahead is the last past year with these digits. */
function fullYear(twoDigits: number, nowWallMs: number): string {
  const thisYear = new Date(nowWallMs).getUTCFullYear()
  const year = thisYear - (thisYear % 100) + twoDigits
  return String(year > thisYear + 50 ? year - 100 : year).padStart(4, '0')
}

function dateMs(year: string, month: string, day: string, hour: string, minute: string, second: string): number {
  const at = MONTHS.indexOf(month.toLowerCase())
  if (at === -1 || at % 3 !== 0) return Number.NaN
  const [d, h, m, s] = [Number(day), Number(hour), Number(minute), Number(second)]
  // 60 is a leap second.
  if (d < 1 || h > 23 || m > 59 || s > 60) return Number.NaN
  const ms = Date.UTC(Number(year), at / 3, d, h, m, s)
  return new Date(ms - s * SECOND_MS).getUTCDate() === d ? ms : Number.NaN
}

/**
 * The wait a `Retry-After` field asks for (RFC 9110 10.2.3): seconds, or a date. In milliseconds, 0 for a date that is past, at most
 * `capMs`; NO_DELAY when the value is neither.
 */
export function parseRetryAfterMs(value: string, nowWallMs: number, capMs = MAX_DELAY_MS): number {
  if (/^\d+$/.test(value)) return Math.min(Number(value) * SECOND_MS, capMs)
  const at = parseHttpDateMs(value, nowWallMs)
  return Number.isNaN(at) ? NO_DELAY : Math.min(Math.max(0, at - nowWallMs), capMs)
}

/** `grpc-retry-pushback-ms` (gRPC A6): the exact wait; negative or unreadable means do not try again. */
export function parsePushbackMs(value: string): number {
  if (!/^\d{1,10}$/.test(value)) return DO_NOT_RETRY
  return Math.min(Number(value), MAX_DELAY_MS)
}
