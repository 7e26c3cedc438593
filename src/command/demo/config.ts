import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assertPortsFree } from '../../ports.ts'
import { createSelfSigned } from './certificate.ts'

/** The port of the https listener. */
export const HTTPS_PORT = 8443

const WEEK_MS = 7 * 86_400_000

/** The configuration the demo really runs: that of the example, with a listener for https where that can be had. */
export interface DemoConfig {
  path: string
  /** The certificate, for `curl --cacert`; null: there is no https, for this reason. */
  certificate: string | null
  reason: string
  remove(): void
}

/** The certificate is made anew, for this machine and a week, and goes when the demo ends. */
export async function createDemoConfig(example: string, nowMs: number): Promise<DemoConfig> {
  const address = { host: '127.0.0.1', port: HTTPS_PORT }
  try {
    await assertPortsFree([address])
    const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'))
    const certificate = join(folder, 'demo.crt')
    const { cert, key } = createSelfSigned({
      names: ['localhost'],
      addresses: ['127.0.0.1'],
      notBefore: new Date(nowMs - 3_600_000),
      notAfter: new Date(nowMs + WEEK_MS * 3),
    })
    writeFileSync(certificate, cert)
    writeFileSync(join(folder, 'demo.key'), key, { mode: 0o600 })
    const listener = `  secure: { address: "127.0.0.1:${HTTPS_PORT}", tls: { certificates: [{ cert: demo.crt, key: demo.key }] } }`
    const path = join(folder, 'sluice.yaml')
    writeFileSync(path, readFileSync(example, 'utf8').replace(/^listeners:\n( {2}web: .*)$/m, `listeners:\n$1\n${listener}`))
    return { path, certificate, reason: '', remove: () => rmSync(folder, { recursive: true, force: true }) }
  } catch (error) {
    return { path: example, certificate: null, reason: error instanceof Error ? error.message : String(error), remove: () => undefined }
  }
}
