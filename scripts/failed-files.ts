// A reporter for Node's test runner: the path of each test file in which something failed, one per line.
type Event = { readonly type: string; readonly data: { readonly file?: string; readonly entryFile?: string } }

export default async function* failedFiles(events: AsyncIterable<Event>): AsyncGenerator<string> {
  const seen = new Set<string>()
  for await (const { type, data } of events) {
    // `file` is where the test is written, which may be a contract that several test files share; `entryFile` is what was run. A file
    // that crashed has only the former.
    const file = data.entryFile ?? data.file
    if (type !== 'test:fail' || file === undefined || seen.has(file)) continue
    seen.add(file)
    yield `${file}\n`
  }
}
