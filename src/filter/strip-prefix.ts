import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { afterPrefix, createSegmentPrefix, singleLeadingSlash } from './path.ts'

/**
 * `strip-prefix`: takes whole segments from the start of the path, once. With `/api`: `/api/users` becomes `/users`, `/api` becomes `/`,
 * and `/apiX` stays. The query is not touched.
 */
export function createStripPrefixFilter(prefix: string): Filter {
  const compiled = createSegmentPrefix(prefix)
  return {
    name: 'strip-prefix',
    onRequest(x: Exchange): void {
      if (compiled.text === '') return
      const rest = afterPrefix(x.path, compiled)
      if (rest !== null) x.setPath(singleLeadingSlash(rest))
    },
    onResponse: null,
    onFinish: null,
  }
}
