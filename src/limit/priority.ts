/** How important a request is, most important first. Under overload the last are refused first, so that core routes live longest. */
export const PRIORITIES = ['core', 'normal', 'low', 'background'] as const

export type Priority = (typeof PRIORITIES)[number]

export const PRIORITY_LEVELS = PRIORITIES.length

/** The level a priority has in the algorithms: 0 is core. */
export function priorityLevel(priority: Priority): number {
  return PRIORITIES.indexOf(priority)
}
