import { Timed } from '../base/timers.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import type { GrpcCall } from '../exchange/grpc-call.ts'
import { awaitsGrpcStatus } from './fallback.ts'
import type { ProxyContext, ServiceRuntime } from './runtime.ts'

/** A head is held no longer than this: who streams may want to see it before the first message. */
const HOLD_MS = 500

/** A response head whose call may still turn out to have failed. When the time is over, it goes to the client. */
class HeldHead extends Timed {
  readonly #attempt: Attempt
  readonly #head: ResponseHead
  readonly #release: (attempt: Attempt, head: ResponseHead) => void

  constructor(attempt: Attempt, head: ResponseHead, release: (attempt: Attempt, head: ResponseHead) => void) {
    super()
    this.#attempt = attempt
    this.#head = head
    this.#release = release
  }

  override onDeadline(): void {
    const x = this.#attempt.exchange
    if (x.finished || this.#attempt.done || x.grpc?.heldHead !== this.#head) return
    this.#release(this.#attempt, this.#head)
  }
}

/**
 * Holds the head back until the first message or the end of the call: an error that comes in trailers can be tried again then, or
 * something else be answered. Only when the retry policy or the fallback names a gRPC status, the body can be sent once more if it has to
 * be, and the client has said all it has to say (it might wait for the head to say more).
 */
export function holdGrpcHead(
  attempt: Attempt,
  head: ResponseHead,
  { wheel, clock }: ProxyContext,
  release: (attempt: Attempt, head: ResponseHead) => void,
): boolean {
  const x = attempt.exchange
  if (!x.requestComplete || (!mayRetry(x) && !awaitsGrpcStatus(x))) return false
  ;(x.grpc as GrpcCall).heldHead = head
  // Whoever looks at the head after this call keeps it.
  x.responseHeld = true
  wheel.arm(new HeldHead(attempt, head, release), clock.now() + HOLD_MS)
  return true
}

function mayRetry(x: Exchange): boolean {
  const { retry } = x.service as ServiceRuntime
  if (retry === null || !retry.policy.asksForGrpc || x.tries >= retry.policy.attempts) return false
  return !x.hasRequestBody || x.replay !== null
}

/** The head that was held, if any; it is held no longer. */
export function takeHeldHead(x: Exchange): ResponseHead | null {
  const call = x.grpc as GrpcCall
  const head = call.heldHead
  if (head === null) return null
  call.heldHead = null
  x.responseHeld = false
  return head
}
