import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { generateMetricsDocs } from './metrics-docs.ts'
import { MetricsStore } from './metrics-store.ts'
import { METRICS, type MetricDefinition } from './names.ts'
import { formatPrometheus } from './prometheus.ts'

interface Sample {
  name: string
  labels: Map<string, string>
  value: number
}
interface Family {
  type: string
  help: string
  samples: Sample[]
}

/** A strict reader of text exposition format 0.0.4: throws where a lenient one would guess. */
function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  assert.ok(text === '' || text.endsWith('\n'), 'the last line must end with a line feed')
  let current: [name: string, family: Family] | null = null
  let help: [name: string, text: string] | null = null
  for (const line of text.split('\n').slice(0, -1)) {
    const helpLine = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\]|\\\\|\\n)*)$/.exec(line)
    const typeLine = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/.exec(line)
    if (helpLine !== null) {
      help = [helpLine[1]!, helpLine[2]!]
    } else if (typeLine !== null) {
      const name = typeLine[1]!
      assert.ok(help !== null && help[0] === name, `TYPE of ${name} must follow its HELP`)
      assert.ok(!families.has(name), `${name} must have one group of lines`)
      current = [name, { type: typeLine[2]!, help: help[1], samples: [] }]
      families.set(name, current[1])
    } else {
      assert.ok(current !== null, `sample before TYPE: ${line}`)
      const sample = parseSample(line)
      const [name, family] = current
      const allowed = family.type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
      assert.ok(allowed.includes(sample.name), `${sample.name} in the group of ${name}`)
      family.samples.push(sample)
    }
  }
  for (const [name, family] of families) checkFamily(name, family)
  return families
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/s.exec(line)
  assert.ok(match, `not a sample: ${line}`)
  const labels = new Map<string, string>()
  let rest = match[2] ?? ''
  assert.ok(match[2] !== '', `empty braces: ${line}`)
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,(?=[a-zA-Z_])|$)/.exec(rest)
    assert.ok(label, `not a label: ${rest}`)
    assert.ok(!labels.has(label[1]!), `label twice: ${line}`)
    labels.set(
      label[1]!,
      label[2]!.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
    )
    rest = rest.slice(label[0].length)
  }
  const number = match[3]!
  assert.match(number, /^(?:[+-]Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/)
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : number === '-Inf' ? Number.NEGATIVE_INFINITY : Number(number)
  return { name: match[1]!, labels, value }
}

function checkFamily(name: string, family: Family): void {
  const seen = new Set<string>()
  for (const sample of family.samples) {
    const key = `${sample.name}${JSON.stringify([...sample.labels].sort())}`
    assert.ok(!seen.has(key), `series twice: ${key}`)
    seen.add(key)
    if (family.type === 'counter') assert.ok(sample.value >= 0, `${name} is negative`)
  }
  if (family.type === 'histogram') checkHistogram(name, family)
}

function checkHistogram(name: string, family: Family): void {
  const groups = new Map<string, { edges: number[]; counts: number[]; sum: number | null; count: number | null }>()
  for (const sample of family.samples) {
    const labels = [...sample.labels].filter(([label]) => label !== 'le').sort()
    const key = JSON.stringify(labels)
    const group = groups.get(key) ?? { edges: [], counts: [], sum: null, count: null }
    groups.set(key, group)
    if (sample.name === `${name}_sum`) group.sum = sample.value
    else if (sample.name === `${name}_count`) group.count = sample.value
    else {
      const le = sample.labels.get('le')
      assert.ok(le !== undefined, `${name}_bucket without le`)
      group.edges.push(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le))
      group.counts.push(sample.value)
    }
  }
  for (const [key, group] of groups) {
    assert.ok(group.sum !== null && group.count !== null, `${name}${key} lacks sum or count`)
    assert.equal(group.edges.at(-1), Number.POSITIVE_INFINITY)
    assert.equal(group.counts.at(-1), group.count)
    for (let i = 1; i < group.edges.length; i++) {
      assert.ok(group.edges[i]! > group.edges[i - 1]!, `${name}${key}: le must rise`)
      assert.ok(group.counts[i]! >= group.counts[i - 1]!, `${name}${key}: counts must not fall`)
    }
  }
}

describe('prometheus text format', () => {
  it('is read by a strict parser, with every character in labels and help', () => {
    const store = new MetricsStore()
    const nasty = 'a"b\\c\nd{e},=\u00e9\u2028 \t\r'
    store.registry.counter('a_total', 'Help with \\ and\nline.', { x: nasty, y: '' }).add(3)
    store.registry.gauge('g', 'G.').set(-1.5e-9)
    store.registry.gauge('inf', 'I.').set(Number.NEGATIVE_INFINITY)
    store.registry.counter('huge_total', 'H.').add(1e300)
    const families = parseExposition(formatPrometheus(store.snapshot()))
    assert.equal(families.get('a_total')?.help, 'Help with \\\\ and\\nline.')
    assert.equal(families.get('a_total')?.samples[0]?.labels.get('x'), nasty)
    assert.equal(families.get('a_total')?.samples[0]?.labels.get('y'), '')
    assert.equal(families.get('g')?.samples[0]?.value, -1.5e-9)
    assert.equal(families.get('inf')?.samples[0]?.value, Number.NEGATIVE_INFINITY)
    assert.equal(families.get('huge_total')?.samples[0]?.value, 1e300)
  })

  it('publishes cumulative buckets whose edges are exact powers of two', () => {
    const store = new MetricsStore()
    const histogram = store.registry.histogram('h_seconds', 'H.', { route: 'r' })
    for (const value of [0.25, 0.2500001, 0.5, 500]) histogram.record(value)
    const samples = parseExposition(formatPrometheus(store.snapshot())).get('h_seconds')?.samples ?? []
    const edges = samples.filter((sample) => sample.labels.has('le')).map((sample) => sample.labels.get('le')!)
    assert.deepEqual(edges, [...Array.from({ length: 22 }, (_, i) => String(2 ** (i - 14))), '+Inf'])
    assert.ok(edges.every((edge) => !edge.includes('e')))
    const at = (le: string) => samples.find((sample) => sample.labels.get('le') === le)?.value
    assert.deepEqual([at('0.125'), at('0.25'), at('0.5'), at('128'), at('+Inf')], [0, 1, 3, 3, 4])
  })

  it('is empty when there is nothing', () => {
    assert.equal(formatPrometheus(new MetricsStore().snapshot()), '')
  })

  it('has a parser in this test that refuses what the format forbids', () => {
    const head = '# HELP a A.\n# TYPE a gauge\n'
    const bad = [
      `${head}a 1`,
      'a 1\n',
      `${head}a{} 1\n`,
      `${head}a{x="1",} 1\n`,
      `${head}a{x="\\t"} 1\n`,
      `${head}a{x="1"} 1\na{x="1"} 2\n`,
      `${head}b 1\n`,
      `${head}a one\n`,
      `${head}${head}`,
      '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
    ]
    for (const text of bad) assert.throws(() => parseExposition(text), text)
  })
})

/** A label more is a decision: each has a bounded set of values. */
const LABELS = (
  'cause certificate code direction endpoint grpc_status importance kind listener method metric name node_version outcome reason ' +
  'result resumed route scope service state type version worker'
).split(' ')

describe('the table of metrics', () => {
  const definitions: MetricDefinition[] = Object.values(METRICS)

  it('follows the naming rules: unique, base units, _total on counters only', () => {
    assert.equal(new Set(definitions.map((one) => one.name)).size, definitions.length)
    for (const { name, type, labels, help } of definitions) {
      assert.match(name, /^(sluice|process)_[a-z0-9_]+$/)
      assert.equal(name.endsWith('_total'), type === 'counter', name)
      assert.doesNotMatch(name, /_(ms|milliseconds|kb|kilobytes|minutes)(_|$)/)
      assert.match(help, /^[A-Z].*[.]?\)?[.]$|^[A-Z].*\.$/, name)
      for (const label of labels) assert.ok(LABELS.includes(label), `${name}: ${label}`)
    }
  })

  it('is what docs/metrics.md shows', () => {
    const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    assert.equal(docs, generateMetricsDocs(), 'run: npm run generate')
  })
})
