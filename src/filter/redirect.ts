import type { RedirectConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { createRedirectAnswer } from './answer.ts'

/** `redirect`: answers every request with a redirect. It sees the path as the filters before it have left it. */
export function createRedirectFilter(config: RedirectConfig): Filter {
  const answer = createRedirectAnswer(config)
  return {
    name: 'redirect',
    onRequest(x: Exchange): void {
      x.local = answer(x)
    },
    onResponse: null,
    onFinish: null,
  }
}
