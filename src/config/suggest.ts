/** "Did you mean": the nearest of the allowed names, when one is near enough to be a slip of the hand. */

/**
 * Edit distance with transposition of neighbours (optimal string alignment). Gives up with `limit + 1` as soon as the
 * distance must exceed `limit`, so long names cost little.
 */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let before: number[] = []
  let previous: number[] = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    let best = i
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      current.push(cost)
      if (cost < best) best = cost
    }
    if (best > limit) return limit + 1
    before = previous
    previous = current
  }
  return previous[b.length]!
}

/** The candidate nearest to `name`, or null when none is near: at most one slip in three letters, three at most. Case is ignored. */
export function suggest(name: string, candidates: Iterable<string>): string | null {
  const wanted = fold(name)
  let best: string | null = null
  let bestDistance = Math.min(3, Math.max(1, Math.floor(wanted.length / 3))) + 1
  for (const candidate of candidates) {
    const distance = editDistance(wanted, fold(candidate), bestDistance - 1)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** `; did you mean "users"?`, or nothing. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const near = suggest(name, candidates)
  return near === null ? '' : `; did you mean "${near}"?`
}

/** Spelling habits are no slips: `strip_prefix` and `stripPrefix` are `strip-prefix`. */
function fold(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '')
}
