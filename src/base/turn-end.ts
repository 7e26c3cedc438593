/** Work that is put off to the end of the present turn of the event loop, when every socket that had something to read was read. */
export interface TurnTask {
  onTurnEnd(): void
}

// One per thread, as there is one event loop. Two lists, so that what a task adds waits for the next turn.
let waiting: TurnTask[] = []
let running: TurnTask[] = []

/**
 * Calls `task.onTurnEnd()` once when this turn ends: how connections that carry many messages gather what all of them have to send
 * into one write. The caller sees to it that a task waits once only. It must not throw.
 */
export function atTurnEnd(task: TurnTask): void {
  if (waiting.length === 0) setImmediate(runTasks)
  waiting.push(task)
}

function runTasks(): void {
  const tasks = waiting
  waiting = running
  running = tasks
  for (let i = 0; i < tasks.length; i++) (tasks[i] as TurnTask).onTurnEnd()
  tasks.length = 0
}
