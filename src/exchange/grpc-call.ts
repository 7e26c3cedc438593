import { MessageCounter } from '../codec/grpc/message-counter.ts'
import { NO_GRPC_STATUS } from '../codec/grpc/status.ts'
import type { ResponseHead } from '../codec/http1/head.ts'

/** What an exchange knows of itself when it is a gRPC call. */
export class GrpcCall {
  readonly requests = new MessageCounter()
  readonly responses = new MessageCounter()
  /** What the client was told; NO_GRPC_STATUS until then. */
  status = NO_GRPC_STATUS
  /** Attempts of the client's own before this one, as it says. */
  readonly earlierAttempts: number
  /** A head that waits to be seen together with what follows it, because the call may be tried again; null: none. */
  heldHead: ResponseHead | null = null

  constructor(earlierAttempts: number) {
    this.earlierAttempts = earlierAttempts
  }
}
