/** A turn that is better than all before it by less than this is no progress. */
const PROGRESS_RATIO = 1.03
/** So many turns in a row without progress end a warm-up, because a single slow one may be the machine's fault. */
const IDLE_TURNS = 2
/** A program that still gets faster after so many turns is measured as it is. */
const MOST_TURNS = 12

/** Whether a warm-up may end, given the figure of every turn so far (more is better). */
export function hasSettled(figures: readonly number[]): boolean {
  if (figures.length >= MOST_TURNS) return true
  let best = 0
  let idle = 0
  for (const figure of figures) {
    idle = figure > best * PROGRESS_RATIO ? 0 : idle + 1
    best = Math.max(best, figure)
  }
  return idle >= IDLE_TURNS
}
