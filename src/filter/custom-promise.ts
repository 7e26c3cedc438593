/**
 * A promise that may be left alone: when it, or what `then` makes of it, rejects and nobody listens, that is no unhandled rejection.
 * Filters get these, because a request that ends early is no reason to end the process.
 */
export class QuietPromise<T> extends Promise<T> {
  // biome-ignore lint/suspicious/noThenProperty: overriding it is what this class is for.
  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const derived = super.then(onFulfilled, onRejected)
    // Not derived.catch(), which would come here again.
    Promise.prototype.then.call(derived, undefined, ignore)
    return derived
  }
}

function ignore(): void {}

/** A promise and the two functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T | PromiseLike<T>) => void
  readonly reject: (reason: unknown) => void
}

/** Its promise is quiet. */
export function createDeferred<T>(): Deferred<T> {
  let resolve!: (value: T | PromiseLike<T>) => void
  let reject!: (reason: unknown) => void
  const promise = new QuietPromise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  Promise.prototype.then.call(promise, undefined, ignore)
  return { promise, resolve, reject }
}

/** A quiet promise that is rejected already. */
export function rejectQuietly<T>(reason: unknown): Promise<T> {
  const { promise, reject } = createDeferred<T>()
  reject(reason)
  return promise
}

/** The exchange ended while a custom filter was at work on it. What `next()`, `body()` and `x.signal` give as the reason. */
export class ExchangeEndedError extends Error {
  constructor(reason: string) {
    super(`the exchange has ended: ${reason}`)
    this.name = 'ExchangeEndedError'
  }
}

/** Whether this is nothing but the news that the exchange has ended, perhaps wrapped by an API that took `x.signal`. */
export function isExchangeEnd(error: unknown): boolean {
  return error instanceof ExchangeEndedError || (error instanceof Error && error.cause instanceof ExchangeEndedError)
}
