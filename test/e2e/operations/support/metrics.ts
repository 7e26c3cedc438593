/** One scrape of `/metrics`. */
export class Scrape {
  readonly #lines: readonly { name: string; labels: string; value: number }[]

  constructor(text: string) {
    this.#lines = text
      .split('\n')
      .map((line) => /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, name = '', labels = '', value]) => ({ name, labels, value: Number(value) }))
  }

  /** The sum over all series of this name that carry these labels; 0 when there is none. */
  sum(name: string, labels: Record<string, string> = {}): number {
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
    let sum = 0
    for (const line of this.#lines) {
      if (line.name === name && wanted.every((label) => line.labels.split(',').includes(label))) sum += line.value
    }
    return sum
  }

  /** Every series whose name ends in `_total` or `_count`, with its value. */
  counters(): Map<string, number> {
    const counters = this.#lines.filter(({ name }) => /_(total|count)$/.test(name))
    return new Map(counters.map(({ name, labels, value }) => [`${name}{${labels}}`, value]))
  }
}

/** Reads the metrics of a gateway. */
export async function scrape({ adminUrl }: { adminUrl: string | null }): Promise<Scrape> {
  const response = await fetch(`${adminUrl}/metrics`)
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`)
  return new Scrape(await response.text())
}
