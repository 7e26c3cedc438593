// A reporter for Node's test runner: the path of each test file in which something failed, one per line.
type Event = { readonly type: string; readonly data: { readonly file?: string } }

export default async function* failedFiles(events: AsyncIterable<Event>): AsyncGenerator<string> {
  const seen = new Set<string>()
  for await (const { type, data } of events) {
    if (type !== 'test:fail' || data.file === undefined || seen.has(data.file)) continue
    seen.add(data.file)
    yield `${data.file}\n`
  }
}
