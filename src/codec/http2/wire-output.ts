import type { Wire } from '../../base/wire.ts'
import type { ByteWriter } from '../byte-writer.ts'
import { releaseWriter } from './writer-pool.ts'

/** Puts the output of a session on its wire without copying it: writers go back to the pool when their bytes have left. */
export class WireOutput {
  /** Its bytes may still be on their way; free again when nothing is pending. */
  #lent: ByteWriter | null = null

  /** False: the socket is full. */
  write(wire: Wire, writer: ByteWriter): boolean {
    if (this.#lent !== null && wire.pendingBytes === 0) {
      releaseWriter(this.#lent)
      this.#lent = null
    }
    const proceed = wire.writeOwned(writer.bytes, 0, writer.at)
    if (wire.pendingBytes === 0) releaseWriter(writer)
    else this.#lent = writer
    return proceed
  }
}
