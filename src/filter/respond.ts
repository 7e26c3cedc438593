import type { RespondConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { createRespondAnswer } from './answer.ts'

/** `respond`: answers every request with a fixed response. Filters behind it and the service never see the request. */
export function createRespondFilter(config: RespondConfig): Filter {
  const answer = createRespondAnswer(config)
  return {
    name: 'respond',
    onRequest(x: Exchange): void {
      x.local = answer(x)
    },
    onResponse: null,
    onFinish: null,
  }
}
