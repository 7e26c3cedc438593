// Line and bar charts as SVG text: grey text and mid-bright colours on no background, so that they can be read on light and on dark.

const WIDTH = 760
const FONT = 'font-family="system-ui, sans-serif" font-size="12" fill="#808890"'
const GRID = '#80889040'
/** Told apart by most who see colours differently, too. */
const COLOURS = ['#4c8dd6', '#e08a2e', '#3fa66b', '#c75b7a', '#8f77c9', '#a08a3c', '#5aa7b0', '#888888']

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
}

export interface LineChart {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
  /** Largest value on the y axis; what is above is cut off. Default: the largest there is. */
  readonly maxY?: number
  /** Stretches of x that are shaded, each with a word. */
  readonly shades?: readonly { readonly from: number; readonly to: number; readonly name: string }[]
}

export interface BarChart {
  readonly title: string
  readonly x: string
  /** One group for each label, one bar in it for each series. */
  readonly labels: readonly string[]
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[]
  /** A value worth a line across. */
  readonly mark?: { readonly value: number; readonly name: string }
}

interface Scale {
  readonly ticks: readonly number[]
  at(value: number): number
}

export function lineChart(chart: LineChart): string {
  const height = 380
  const area = { left: 64, right: WIDTH - 16, top: 36 + 18 * Math.ceil(chart.series.length / 3), bottom: height - 48 }
  const xs = chart.series.flatMap(({ points }) => points.map(([x]) => x))
  const ys = chart.series.flatMap(({ points }) => points.map(([, y]) => y))
  const x = linearScale(Math.min(...xs), Math.max(...xs), area.left, area.right)
  const y = linearScale(0, chart.maxY ?? Math.max(...ys), area.bottom, area.top)
  const parts = [titleOf(chart.title), legend(chart.series.map(({ name }) => name))]
  for (const { from, to, name } of chart.shades ?? []) {
    const width = x.at(to) - x.at(from)
    parts.push(`<rect x="${n(x.at(from))}" y="${area.top}" width="${n(width)}" height="${area.bottom - area.top}" fill="#80889028"/>`)
    parts.push(text(x.at(from) + width / 2, area.top + 14, name, 'middle'))
  }
  for (const tick of y.ticks) {
    parts.push(`<path d="M${area.left} ${n(y.at(tick))}H${area.right}" stroke="${GRID}"/>`)
    parts.push(text(area.left - 8, y.at(tick) + 4, label(tick), 'end'))
  }
  for (const tick of x.ticks) parts.push(text(x.at(tick), area.bottom + 18, label(tick), 'middle'))
  parts.push(text((area.left + area.right) / 2, height - 10, chart.x, 'middle'))
  parts.push(
    `<text ${FONT} text-anchor="middle" transform="translate(14 ${(area.top + area.bottom) / 2}) rotate(-90)">${escapeText(chart.y)}</text>`,
  )
  for (const [i, { points }] of chart.series.entries()) {
    const path = points.map(([px, py]) => `${n(x.at(px))} ${n(y.at(Math.min(py, chart.maxY ?? py)))}`).join('L')
    parts.push(`<path d="M${path}" fill="none" stroke="${colour(i)}" stroke-width="2" stroke-linejoin="round"/>`)
  }
  return svg(chart.title, height, parts)
}

export function barChart(chart: BarChart): string {
  const barHeight = chart.series.length === 1 ? 16 : 13
  const groupHeight = chart.series.length * barHeight + 8
  const legendHeight = chart.series.length > 1 ? 18 * Math.ceil(chart.series.length / 3) : 0
  const top = 36 + legendHeight + (chart.mark === undefined ? 0 : 14)
  const height = top + chart.labels.length * groupHeight + 48
  const left = 24 + Math.max(...chart.labels.map((name) => name.length)) * 6.6
  const area = { left, right: WIDTH - 70, top, bottom: height - 44 }
  const values = chart.series.flatMap((series) => series.values)
  const x = linearScale(0, Math.max(...values, chart.mark?.value ?? 0), area.left, area.right)
  const parts = [titleOf(chart.title)]
  if (chart.series.length > 1) parts.push(legend(chart.series.map(({ name }) => name)))
  for (const tick of x.ticks) {
    parts.push(`<path d="M${n(x.at(tick))} ${area.top}V${area.bottom}" stroke="${GRID}"/>`)
    parts.push(text(x.at(tick), area.bottom + 16, label(tick), 'middle'))
  }
  for (const [group, name] of chart.labels.entries()) {
    const y = area.top + 4 + group * groupHeight
    parts.push(text(area.left - 8, y + (chart.series.length * barHeight) / 2 + 4, name, 'end'))
    for (const [i, series] of chart.series.entries()) {
      const value = series.values[group]!
      const barY = y + i * barHeight
      const width = Math.max(1, x.at(value) - area.left)
      parts.push(`<rect x="${n(area.left)}" y="${barY}" width="${n(width)}" height="${barHeight - 2}" fill="${colour(i)}"/>`)
      parts.push(text(area.left + width + 5, barY + barHeight / 2 + 3, label(round(value)), 'start'))
    }
  }
  if (chart.mark !== undefined) {
    const at = n(x.at(chart.mark.value))
    parts.push(`<path d="M${at} ${area.top}V${area.bottom}" stroke="#808890" stroke-width="1.5" stroke-dasharray="4 3"/>`)
    parts.push(text(x.at(chart.mark.value), area.top - 3, chart.mark.name, 'middle'))
  }
  parts.push(text((area.left + area.right) / 2, height - 8, chart.x, 'middle'))
  return svg(chart.title, height, parts)
}

function svg(title: string, height: number, parts: readonly string[]): string {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`
  return `${[head, `<title>${escapeText(title)}</title>`, ...parts, '</svg>'].join('\n')}\n`
}

function titleOf(title: string): string {
  return `<text ${FONT.replace('"12"', '"15"')} font-weight="600" x="16" y="22">${escapeText(title)}</text>`
}

function legend(names: readonly string[]): string {
  return names
    .map((name, i) => {
      const x = 16 + (i % 3) * 244
      const y = 34 + Math.floor(i / 3) * 18
      return `<rect x="${x}" y="${y}" width="12" height="10" fill="${colour(i)}"/>${text(x + 18, y + 9, name, 'start')}`
    })
    .join('\n')
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text ${FONT} text-anchor="${anchor}" x="${n(x)}" y="${n(y)}">${escapeText(content)}</text>`
}

function colour(i: number): string {
  return COLOURS[i % COLOURS.length]!
}

/** From a little below to a little above, in steps of 1, 2 or 5. */
function linearScale(from: number, to: number, start: number, end: number): Scale {
  const step = niceStep((to - from || 1) / 6)
  const low = Math.floor(from / step) * step
  const high = Math.ceil(to / step - 1e-9) * step || step
  const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => round(low + i * step))
  return { ticks, at: (value) => start + ((value - low) / (high - low)) * (end - start) }
}

function niceStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw))
  const share = raw / power
  return (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10) * power
}

/** Three digits. */
export function round(value: number): number {
  return value === 0 || !Number.isFinite(value) ? value : Number(value.toPrecision(3))
}

function label(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 })
}

/** A coordinate: a tenth of a pixel is enough. */
function n(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
