import { ByteWriter } from '../byte-writer.ts'

/**
 * Output buffers go round: a connection has one only while something waits to be written, so ten thousand idle connections have
 * none. One list per thread.
 */
const WRITER_BYTES = 16 * 1024
const WRITERS_KEPT = 64
const free: ByteWriter[] = []

export function acquireWriter(): ByteWriter {
  return free.pop() ?? new ByteWriter(WRITER_BYTES)
}

/** Only when no write refers to its bytes any more. */
export function releaseWriter(writer: ByteWriter): void {
  if (free.length === WRITERS_KEPT) return
  writer.reset()
  free.push(writer)
}
