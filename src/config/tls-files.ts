/**
 * The certificate and key files that a configuration names: read, checked against each other, and summed up in the configuration.
 * Like check.ts it looks at what was written, so that what is wrong in a file is told together with everything else.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { RawIssue } from './issues.ts'
import type { ConfigPath } from './problem.ts'
import { isHostName } from './scalar.ts'
import type { ListenerTlsConfig, TlsTexts } from './tls-types.ts'
import type { GatewayConfig } from './types.ts'

export interface TlsFilesInput {
  /** A path as written, made absolute. */
  resolve(path: string): string
  readFile(path: string): Promise<string>
  /** Why a file could not be read, in words. */
  readFailure(reason: unknown): string
}

export interface TlsFiles {
  readonly issues: RawIssue[]
  /** By absolute path. */
  readonly texts: TlsTexts
  /** Every file that is named, those that cannot be read included. */
  readonly paths: string[]
  resolve(path: string): string
}

type RawMap = Record<string, unknown>

function asMap(value: unknown): RawMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RawMap) : {}
}

/** Reads every file that a `tls` of the plain data names, and says what is wrong with it. */
export async function readTlsFiles(raw: unknown, input: TlsFilesInput): Promise<TlsFiles> {
  const reader = new Reader(input)
  const config = asMap(raw)
  await reader.server(['admin', 'tls'], asMap(asMap(config['admin'])['tls']))
  for (const [name, listener] of Object.entries(asMap(config['listeners']))) {
    await reader.server(['listeners', name, 'tls'], asMap(asMap(listener)['tls']))
  }
  for (const [name, service] of Object.entries(asMap(config['services']))) await reader.service(name, asMap(asMap(service)['tls']))
  return { issues: reader.issues, texts: reader.texts, paths: [...reader.paths], resolve: input.resolve }
}

class Reader {
  readonly issues: RawIssue[] = []
  readonly texts: Record<string, string> = {}
  readonly paths = new Set<string>()
  readonly #input: TlsFilesInput
  readonly #failures = new Map<string, string>()

  constructor(input: TlsFilesInput) {
    this.#input = input
  }

  async server(at: ConfigPath, tls: RawMap): Promise<void> {
    const certificates = Array.isArray(tls['certificates']) ? tls['certificates'] : []
    for (const [index, certificate] of certificates.entries()) await this.#pair([...at, 'certificates', index], asMap(certificate))
    await this.#authorities([...at, 'clientAuth', 'ca'], asMap(tls['clientAuth'])['ca'])
  }

  async service(name: string, tls: RawMap): Promise<void> {
    const at = ['services', name, 'tls']
    await this.#authorities([...at, 'ca'], tls['ca'])
    const isGiven = (key: string) => (tls[key] ?? null) !== null
    if (isGiven('cert') && !isGiven('key')) this.#say([...at, 'cert'], 'needs its private key; give key, too')
    if (isGiven('key') && !isGiven('cert')) this.#say([...at, 'key'], 'needs its certificate; give cert, too')
    await this.#pair(at, tls)
  }

  #say(path: ConfigPath, message: string): void {
    this.issues.push({ path, part: 'value', message })
  }

  /** The text of a file; null when there is none, which has been said then or is for the schema to say. */
  async #read(at: ConfigPath, written: unknown): Promise<string | null> {
    if (typeof written !== 'string' || written === '' || written.includes('\0')) return null
    const path = this.#input.resolve(written)
    if (!this.paths.has(path)) {
      this.paths.add(path)
      try {
        this.texts[path] = await this.#input.readFile(path)
      } catch (reason) {
        this.#failures.set(path, this.#input.readFailure(reason))
      }
    }
    const failure = this.#failures.get(path)
    if (failure !== undefined) this.#say(at, `the file ${JSON.stringify(written)} ${failure}`)
    return this.texts[path] ?? null
  }

  async #authorities(at: ConfigPath, written: unknown): Promise<void> {
    const text = await this.#read(at, written)
    if (text !== null) this.#certificates(at, written as string, text)
  }

  async #pair(at: ConfigPath, pair: RawMap): Promise<void> {
    const [certPath, keyPath] = [
      [...at, 'cert'],
      [...at, 'key'],
    ] as const
    const cert = await this.#read(certPath, pair['cert'])
    const key = await this.#read(keyPath, pair['key'])
    const leaf = cert === null ? null : this.#certificates(certPath, pair['cert'] as string, cert)
    const privateKey = key === null ? null : this.#privateKey(keyPath, pair['key'] as string, key)
    if (leaf === null || privateKey === null) return
    if (!leaf.checkPrivateKey(privateKey)) {
      // A usual mistake: the authority first.
      if (parseCertificates(cert as string).some((other) => other.checkPrivateKey(privateKey))) {
        const [wanted, file] = [JSON.stringify(pair['key']), JSON.stringify(pair['cert'])]
        this.#say(
          certPath,
          `the certificate that the key in ${wanted} belongs to must be the first in ${file}; the authorities come after it`,
        )
        return
      }
      this.#say(keyPath, `the key in ${JSON.stringify(pair['key'])} does not belong to the certificate in ${JSON.stringify(pair['cert'])}`)
      return
    }
    try {
      createSecureContext({ cert: cert as string, key: key as string })
    } catch (error) {
      this.#say(certPath, `the certificate in ${JSON.stringify(pair['cert'])} cannot be used: ${reasonOf(error)}`)
    }
  }

  /** The first certificate of a file, or null. */
  #certificates(at: ConfigPath, written: string, text: string): X509Certificate | null {
    try {
      const all = parseCertificates(text)
      if (all[0] !== undefined) return all[0]
      this.#say(at, `the file ${JSON.stringify(written)} holds no certificate; expected PEM, with "-----BEGIN CERTIFICATE-----"`)
    } catch {
      this.#say(at, `the file ${JSON.stringify(written)} holds a certificate that cannot be read`)
    }
    return null
  }

  #privateKey(at: ConfigPath, written: string, text: string): KeyObject | null {
    try {
      return createPrivateKey(text)
    } catch {
      const isEncrypted = text.includes('ENCRYPTED')
      const lack = isEncrypted ? 'holds an encrypted key; expected one without a passphrase' : 'holds no private key; expected PEM'
      this.#say(at, `the file ${JSON.stringify(written)} ${lack}`)
      return null
    }
  }
}

function reasonOf(error: unknown): string {
  return (error as { reason?: string }).reason ?? (error instanceof Error ? error.message : String(error))
}

function parseCertificates(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block))
}

/** The host names in a certificate: those of the alternative names; where there are none, the common name. */
export function namesOf(certificate: X509Certificate): string[] {
  const alternative = certificate.subjectAltName
  if (alternative !== undefined) {
    return [...alternative.matchAll(/(?:^|, )DNS:([^,\s"]+)/g)].map((match) => (match[1] as string).toLowerCase())
  }
  const common = /(?:^|\n)CN=([^\n]+)/.exec(certificate.subject)?.[1]?.toLowerCase()
  return common !== undefined && isHostName(common.replace(/^\*\./, '')) ? [common] : []
}

/** Everything that speaks TLS with clients; the admin listener goes by the name `admin`. */
export function serversWithTls({ admin, listeners }: GatewayConfig): { name: string; tls: ListenerTlsConfig }[] {
  const result: { name: string; tls: ListenerTlsConfig }[] = []
  if (admin?.tls != null) result.push({ name: 'admin', tls: admin.tls })
  for (const listener of Object.values(listeners)) {
    if ((listener.protocol === 'http' || listener.protocol === 'tcp') && listener.tls !== null) {
      result.push({ name: listener.name, tls: listener.tls })
    }
  }
  return result
}

/** Fills in what the files say. Only for a configuration without problems. */
export function completeTls(config: GatewayConfig, { texts, resolve }: TlsFiles): void {
  const digest = (paths: readonly (string | null)[]): string => {
    const hash = createHash('sha256')
    for (const path of paths) hash.update(path === null ? '' : (texts[path] ?? '')).update('\0')
    return hash.digest('base64url').slice(0, 22)
  }
  for (const { tls } of serversWithTls(config)) {
    for (const certificate of tls.certificates) {
      certificate.cert = resolve(certificate.cert)
      certificate.key = resolve(certificate.key)
      certificate.revision = digest([certificate.cert, certificate.key])
      const [leaf] = parseCertificates(texts[certificate.cert] ?? '')
      if (leaf === undefined) continue
      if (certificate.names.length === 0) certificate.names = namesOf(leaf)
      certificate.validFromMs = leaf.validFromDate.getTime()
      certificate.expiresMs = leaf.validToDate.getTime()
    }
    const { clientAuth } = tls
    if (clientAuth !== null) {
      clientAuth.ca = resolve(clientAuth.ca)
      clientAuth.revision = digest([clientAuth.ca])
    }
  }
  for (const { tls } of Object.values(config.services)) {
    if (tls === null) continue
    tls.ca = tls.ca === null ? null : resolve(tls.ca)
    tls.cert = tls.cert === null ? null : resolve(tls.cert)
    tls.key = tls.key === null ? null : resolve(tls.key)
    tls.revision = digest([tls.ca, tls.cert, tls.key])
  }
}
