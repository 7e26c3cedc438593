import { connect } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { abandon } from './abandon.ts'
import { PASSED, type ProbeOutcome, type ProbeTarget, type RunningProbe } from './probe.ts'
import { failureOf } from './probe-error.ts'

/** Passes when the connection opens, and with TLS when the handshake is done; it is closed again without a byte. */
export function startTcpProbe({ host, port, tls, preface }: ProbeTarget, done: (outcome: ProbeOutcome) => void): RunningProbe {
  const socket = tls === undefined ? connect({ host, port }) : connectSecurely({ host, port, ...tls.options })
  if (preface !== undefined) socket.write(preface)
  let isOver = false
  const finish = (outcome: ProbeOutcome): void => {
    if (isOver) return
    isOver = true
    socket.destroy()
    done(outcome)
  }
  socket.on(tls === undefined ? 'connect' : 'secureConnect', () => finish(PASSED))
  socket.on('error', (error) => finish(failureOf(error)))
  return {
    stage: 'connecting',
    cancel() {
      isOver = true
      abandon(socket)
    },
  }
}
