/** What the tests of TLS share: certificates made by openssl, and clients and servers of node:tls, which see what is agreed on. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import type { CleanupScope } from '../../support/cleanup.ts'
import { requirePrograms } from '../../support/programs.ts'

const { openssl } = requirePrograms(['openssl'])

export interface Issued {
  certPath: string
  keyPath: string
  cert: string
  key: string
}

export interface IssueOptions {
  /** Alternative names, as openssl writes them. Default: `DNS:<name>`. */
  names?: string
  /** Default 30; a negative one is in the past. */
  days?: number
  /** To the second, instead of `days`. */
  validity?: { from: Date; to: Date }
  /** Default `/CN=<name>`. */
  subject?: string
}

/** A certificate authority in a folder of its own. */
export class Authority {
  readonly folder: string
  readonly name: string
  #serial = 0

  constructor(scope: CleanupScope, name = 'Test CA') {
    this.folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'))
    this.name = name
    scope.after(() => rmSync(this.folder, { recursive: true, force: true }))
    this.#run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ca.key')
    this.#run('req', '-x509', '-key', 'ca.key', '-out', 'ca.crt', '-days', '30', '-subj', `/CN=${name}`)
  }

  get path(): string {
    return join(this.folder, 'ca.crt')
  }

  get cert(): string {
    return readFileSync(this.path, 'utf8')
  }

  issue(name: string, { names = `DNS:${name}`, days = 30, validity, subject = `/CN=${name}` }: IssueOptions = {}): Issued {
    const base = `leaf-${++this.#serial}`
    this.#run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${base}.key`)
    this.#run('req', '-new', '-utf8', '-key', `${base}.key`, '-out', `${base}.csr`, '-subj', subject, '-addext', `subjectAltName=${names}`)
    const request = ['-in', `${base}.csr`, '-out', `${base}.crt`]
    if (validity === undefined) {
      const common = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy']
      this.#run('x509', '-req', ...request, '-days', String(days), ...common)
    } else {
      this.#prepareDatabase()
      const dates = ['-startdate', utcTime(validity.from), '-enddate', utcTime(validity.to)]
      this.#run('ca', '-batch', '-notext', '-config', 'ca.cnf', '-cert', 'ca.crt', '-keyfile', 'ca.key', ...request, ...dates)
    }
    const certPath = join(this.folder, `${base}.crt`)
    const keyPath = join(this.folder, `${base}.key`)
    return { certPath, keyPath, cert: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') }
  }

  /** Only this command of openssl takes times. */
  #prepareDatabase(): void {
    const lines = ['[ca]', 'default_ca=own', '[own]', 'database=index.txt', 'new_certs_dir=.', 'rand_serial=yes', 'default_md=sha256']
    lines.push('policy=any', 'unique_subject=no', 'copy_extensions=copy', '[any]', 'commonName=supplied')
    writeFileSync(join(this.folder, 'ca.cnf'), `${lines.join('\n')}\n`)
    writeFileSync(join(this.folder, 'index.txt'), '')
  }

  #run(...args: string[]): void {
    execFileSync(openssl, args, { cwd: this.folder, stdio: 'pipe' })
  }
}

function utcTime(date: Date): string {
  return `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`
}

/** What a client finds after a handshake. */
export interface Connection {
  socket: tls.TLSSocket
  /** The common name of the server's certificate. */
  commonName: string
  resumed: boolean
  version: string
}

/** Opens a connection; rejects when the handshake fails. The certificate is checked only when `ca` is given. */
export function connect(scope: CleanupScope, port: number, options: tls.ConnectionOptions = {}): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: options.ca !== undefined, ...options })
    scope.after(() => void socket.destroy())
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      socket.off('error', reject)
      socket.on('error', () => undefined)
      const { subject } = socket.getPeerCertificate()
      resolve({
        socket,
        commonName: String(subject?.CN ?? ''),
        resumed: socket.isSessionReused(),
        version: socket.getProtocol() ?? '',
      })
    })
  })
}

/** Sends a request and resolves to the whole response as text; its body must have a length. */
export function ask(socket: tls.TLSSocket, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (piece: Buffer) => {
      text += piece.toString('latin1')
      const headEnd = text.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
      if (headEnd === -1 || text.length < headEnd + 4 + length) return
      socket.off('data', onData).off('close', onClose)
      resolve(text)
    }
    const onClose = () => reject(new Error(`closed after ${JSON.stringify(text)}`))
    socket.on('data', onData).once('close', onClose)
    socket.write(request)
  })
}

export const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'

export interface TlsUpstream {
  port: number
  address: string
  /** Handshakes, and those of them that resumed a session. */
  readonly handshakes: number
  readonly resumed: number
}

/** An https server to forward to. */
export async function startTlsUpstream(
  scope: CleanupScope,
  options: https.ServerOptions,
  handler: http.RequestListener = (_, response) => void response.end('secret\n'),
): Promise<TlsUpstream> {
  let handshakes = 0
  let resumed = 0
  const server = https.createServer(options, handler)
  server.on('secureConnection', (socket) => {
    handshakes++
    if (socket.isSessionReused()) resumed++
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    address: `127.0.0.1:${port}`,
    get handshakes() {
      return handshakes
    },
    get resumed() {
      return resumed
    },
  }
}

/** The value of one series of the metrics page, by name and the labels that it must have; 0 when there is none. */
export async function metric(adminUrl: string | null, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  let sum = 0
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`)) continue
    if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
      sum += Number(line.slice(line.lastIndexOf(' ')))
  }
  return sum
}
