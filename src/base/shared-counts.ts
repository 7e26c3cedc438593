/**
 * Counts that several threads share, one row for each thing counted and one column for each worker: a worker writes only its own
 * column, everybody may sum a row, and what a dead worker had counted can be taken back.
 */
export class SharedCounts {
  readonly buffer: SharedArrayBuffer
  readonly #cells: Int32Array
  readonly #workers: number

  constructor(buffer: SharedArrayBuffer, workers: number) {
    this.buffer = buffer
    this.#cells = new Int32Array(buffer)
    this.#workers = workers
  }

  static create(rows: number, workers: number): SharedCounts {
    return new SharedCounts(new SharedArrayBuffer(rows * workers * 4), workers)
  }

  get rows(): number {
    return this.#cells.length / this.#workers
  }

  add(row: number, worker: number, amount: number): void {
    Atomics.add(this.#cells, row * this.#workers + worker, amount)
  }

  total(row: number): number {
    let sum = 0
    for (let i = row * this.#workers; i < (row + 1) * this.#workers; i++) sum += Atomics.load(this.#cells, i)
    return sum
  }

  clearWorker(worker: number): void {
    for (let i = worker; i < this.#cells.length; i += this.#workers) Atomics.store(this.#cells, i, 0)
  }
}
