import { readNumber } from './echo.ts'
import type { DemoHandler } from './service.ts'
import { replyJson } from './service.ts'

const MAX_DELAY_MS = 600_000

/** Answers after `?ms=` milliseconds, 2000 without it. */
export const slow: DemoHandler = (request, response, url) => {
  const delayMs = readNumber(url, 'ms', 2000, MAX_DELAY_MS)
  request.resume()
  const timer = setTimeout(() => replyJson(response, 200, { service: 'slow', delayMs }), delayMs)
  response.on('close', () => clearTimeout(timer))
}
