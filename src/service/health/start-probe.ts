import { startGrpcProbe } from './grpc-probe.ts'
import { startHttpProbe } from './http-probe.ts'
import { startHttp2Probe } from './http2-probe.ts'
import type { StartProbe } from './probe.ts'
import { startTcpProbe } from './tcp-probe.ts'

/** Every kind of check there is. A new one is a file in this folder, a case here, and its block in HealthCheckConfig. */
export const startProbe: StartProbe = (target, done) => {
  const { check } = target.health
  switch (check.kind) {
    case 'http':
      return (target.isHttp2 === true ? startHttp2Probe : startHttpProbe)(target, check, done)
    case 'grpc':
      return startGrpcProbe(target, check, done)
    case 'tcp':
      return startTcpProbe(target, done)
  }
}
