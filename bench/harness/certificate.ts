import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Certificate } from '../types.ts'
import { requireProgram } from './find-program.ts'
import { capture, newFolder } from './processes.ts'

let made: Certificate | null = null

/** A self-signed certificate with a P-256 key, the same for all programs of a run. Throws when openssl is missing. */
export async function certificate(): Promise<Certificate> {
  if (made !== null) return made
  const folder = newFolder('certificate')
  const [cert, key, both] = [join(folder, 'cert.pem'), join(folder, 'key.pem'), join(folder, 'both.pem')]
  const flags = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost']
  await capture(
    [requireProgram('openssl'), 'req', ...flags, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
    20_000,
  )
  writeFileSync(both, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
  // Only for this run and this machine; some of the programs give up their rights before they read it.
  for (const file of [key, both]) chmodSync(file, 0o644)
  made = { cert, key, both }
  return made
}
