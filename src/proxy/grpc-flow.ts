import type { WireBuffer } from '../base/wire.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import type { GrpcCall } from '../exchange/grpc-call.ts'
import type { Attempts } from './attempts.ts'
import type { Finisher } from './finish.ts'
import { createForeignAnswer, readGrpcTrailers } from './grpc.ts'
import { holdGrpcHead, takeHeldHead } from './grpc-hold.ts'
import type { ProxyContext } from './runtime.ts'

/** What follows from what comes back of a call; the handler itself. */
export interface GrpcHost {
  /** The head is what the client gets. */
  takeHead(attempt: Attempt, head: ResponseHead): void
  onFlush(attempt: Attempt): void
  /** The client gets `x.local`. */
  answer(x: Exchange): void
  /** A fallback has taken over from this attempt, because of its status. */
  isReplaced(x: Exchange, attempt: Attempt): boolean
  /** The response is complete. */
  end(x: Exchange, trailers: string): void
}

/** Responses of gRPC calls, where they go another way than others. */
export class GrpcFlow {
  readonly #context: ProxyContext
  readonly #attempts: Attempts
  readonly #finisher: Finisher
  readonly #host: GrpcHost

  constructor(context: ProxyContext, attempts: Attempts, finisher: Finisher, host: GrpcHost) {
    this.#context = context
    this.#attempts = attempts
    this.#finisher = finisher
    this.#host = host
  }

  /** True: nothing more is to be done with this head now. */
  keepsHead(x: Exchange, attempt: Attempt, head: ResponseHead, isForeign: boolean): boolean {
    if (isForeign) {
      x.local = createForeignAnswer(x, attempt, head)
      this.#finisher.cancel(attempt, 'success', null)
      this.#host.answer(x)
      return true
    }
    return attempt.grpcStatus < 0 && holdGrpcHead(attempt, head, this.#context, this.#release)
  }

  /** False: nobody wants the body any more. */
  takesBody(attempt: Attempt, call: GrpcCall, bytes: WireBuffer, start: number, end: number): boolean {
    call.responses.read(bytes, start, end)
    if (call.heldHead !== null) this.#release(attempt, call.heldHead)
    return !attempt.done
  }

  end(x: Exchange, attempt: Attempt, trailers: string): void {
    const lines = readGrpcTrailers(attempt, trailers)
    const call = x.grpc as GrpcCall
    const { heldHead } = call
    if (heldHead !== null && attempt.grpcStatus > 0) {
      if (this.#attempts.isStatusRepeated(x, attempt, heldHead, trailers)) return
      takeHeldHead(x)
      if (this.#host.isReplaced(x, attempt)) return
    }
    this.#finisher.endAttempt(attempt, 'success', null)
    if (heldHead !== null) this.#release(attempt, heldHead)
    if (x.finished) return
    call.status = attempt.grpcStatus
    this.#host.end(x, lines)
  }

  /** The call is not tried again. */
  readonly #release = (attempt: Attempt, head: ResponseHead): void => {
    takeHeldHead(attempt.exchange)
    this.#host.takeHead(attempt, head)
    this.#host.onFlush(attempt)
  }
}
