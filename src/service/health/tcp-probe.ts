import { connect } from 'node:net'
import { abandon } from './abandon.ts'
import { PASSED, type ProbeOutcome, type ProbeTarget, type RunningProbe } from './probe.ts'
import { failureOf } from './probe-error.ts'

/** Passes when the connection opens; it is closed again without a byte. */
export function startTcpProbe({ host, port }: ProbeTarget, done: (outcome: ProbeOutcome) => void): RunningProbe {
  const socket = connect({ host, port })
  let isOver = false
  const finish = (outcome: ProbeOutcome): void => {
    if (isOver) return
    isOver = true
    socket.destroy()
    done(outcome)
  }
  socket.on('connect', () => finish(PASSED))
  socket.on('error', (error) => finish(failureOf(error)))
  return {
    stage: 'connecting',
    cancel() {
      isOver = true
      abandon(socket)
    },
  }
}
