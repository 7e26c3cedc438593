import { getSystemErrorName } from 'node:util'

/**
 * Writing on the handle below a socket. A write nearly always completes at once: then Node's stream has nothing to keep in mind, and what
 * it does around the system call (a request object, the states of a Writable) can be left out.
 *
 * Node has no public name for this. What it takes is looked for when the thread starts; where it is not as expected, `directWrite` is null
 * and every write goes through `net.Socket`, as correct and a little slower.
 */

/** The handle of a TCP socket, as far as it is written to. */
export interface WritableHandle {
  writeLatin1String(request: WriteRequest, text: string): number
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number
}

/** Node's WriteWrap: one write that the handle has begun, or refused. */
export interface WriteRequest {
  /** Below 0: the write has failed with this error of the system. */
  status: number
  /** Keeps the bytes alive until they are written. */
  bytes: Uint8Array | null
  /** Called when the write ends, with null when all is well. */
  onEnd: ((error: Error | null) => void) | null
  oncomplete: (status: number) => void
}

/** Node's `stream_wrap`, as far as it is used here. */
export interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest
  readonly streamBaseState: Int32Array
  readonly kLastWriteWasAsync: number
}

/** Writes on handles, with one request for all that complete at once. */
export class DirectWrite {
  readonly #wrap: StreamWrap
  readonly #state: Int32Array
  readonly #asyncIndex: number
  // Node takes hold of a request only when the write does not complete at once, so one serves nearly all writes.
  #request: WriteRequest

  constructor(wrap: StreamWrap) {
    this.#wrap = wrap
    this.#state = wrap.streamBaseState
    this.#asyncIndex = wrap.kLastWriteWasAsync
    this.#request = new wrap.WriteWrap()
  }

  /** Writes latin1 text. null: the kernel has taken all of it. Otherwise how it stands; `onEnd` is then to be set. */
  text(handle: WritableHandle, text: string): WriteRequest | null {
    const status = handle.writeLatin1String(this.#request, text)
    return status === 0 && this.#state[this.#asyncIndex] === 0 ? null : this.#handOut(status, null)
  }

  /** The same with bytes, which must keep until the write ends. */
  bytes(handle: WritableHandle, bytes: Uint8Array): WriteRequest | null {
    const status = handle.writeBuffer(this.#request, bytes)
    return status === 0 && this.#state[this.#asyncIndex] === 0 ? null : this.#handOut(status, bytes)
  }

  #handOut(status: number, bytes: Uint8Array | null): WriteRequest {
    const request = this.#request
    this.#request = new this.#wrap.WriteWrap()
    request.status = status
    request.bytes = bytes
    request.oncomplete = onComplete
    return request
  }
}

function onComplete(this: WriteRequest, status: number): void {
  this.bytes = null
  this.onEnd?.(status < 0 ? createWriteError(status) : null)
}

/** The error that Node makes of a failed write. */
export function createWriteError(status: number): Error {
  const code = getSystemErrorName(status)
  return Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: 'write' })
}

/** What Node's own streams use; null: not there, or not as expected. `host` is `process`. */
export function findStreamWrap(host: object): StreamWrap | null {
  try {
    const wrap = (host as { binding(name: string): StreamWrap }).binding('stream_wrap')
    const { WriteWrap, streamBaseState: state, kLastWriteWasAsync: index } = wrap
    return typeof WriteWrap === 'function' && state instanceof Int32Array && Number.isInteger(state[index]) ? wrap : null
  } catch {
    return null
  }
}

const streamWrap = findStreamWrap(process)

/** One per thread, as the state that Node tells about a write. null: this Node.js is not as expected. */
export const directWrite = streamWrap === null ? null : new DirectWrite(streamWrap)
