import { startHttpProbe } from './http-probe.ts'
import type { StartProbe } from './probe.ts'
import { startTcpProbe } from './tcp-probe.ts'

/** Every kind of check there is. A new one (gRPC, say) is a file in this folder, a case here, and its block in HealthCheckConfig. */
export const startProbe: StartProbe = (target, done) => {
  const { check } = target.health
  switch (check.kind) {
    case 'http':
      return startHttpProbe(target, check, done)
    case 'tcp':
      return startTcpProbe(target, done)
  }
}
