import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** A certificate and its private key, as PEM. */
export interface SelfSigned {
  cert: string
  key: string
}

export interface SelfSignedOptions {
  /** Host names; the first is the common name, too. */
  names: readonly string[]
  /** IPv4 addresses. */
  addresses?: readonly string[]
  notBefore: Date
  notAfter: Date
}

// DER (X.690): tag, length, content.
const INTEGER = 0x02
const BIT_STRING = 0x03
const OCTET_STRING = 0x04
const OBJECT_ID = 0x06
const UTF8_STRING = 0x0c
const UTC_TIME = 0x17
const SEQUENCE = 0x30
const SET = 0x31

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const head = length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const digits = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80)
    bytes.push(...digits)
  }
  return der(OBJECT_ID, Buffer.from(bytes))
}

function time(date: Date): Buffer {
  return der(UTC_TIME, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  const critical = isCritical ? [der(0x01, Buffer.from([0xff]))] : []
  return der(SEQUENCE, oid(id), ...critical, der(OCTET_STRING, value))
}

const ECDSA_WITH_SHA256 = der(SEQUENCE, oid('1.2.840.10045.4.3.2'))

/**
 * A certificate that vouches for itself (RFC 5280), with a new P-256 key: for the demo and for tests, so that neither needs a program
 * for it. Browsers warn of it, as they should.
 */
export function createSelfSigned({ names, addresses = [], notBefore, notAfter }: SelfSignedOptions): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const commonName = der(SEQUENCE, oid('2.5.4.3'), der(UTF8_STRING, Buffer.from(names[0] ?? 'localhost')))
  const name = der(SEQUENCE, der(SET, commonName))
  const alternatives = [
    ...names.map((host) => der(0x82, Buffer.from(host))),
    ...addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number)))),
  ]
  const extensions = der(
    SEQUENCE,
    extension('2.5.29.19', true, der(SEQUENCE, der(0x01, Buffer.from([0xff])))),
    extension('2.5.29.17', false, der(SEQUENCE, ...alternatives)),
  )
  const serial = randomBytes(16)
  // Positive, and not longer than it has to be.
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40
  const body = der(
    SEQUENCE,
    der(0xa0, der(INTEGER, Buffer.from([2]))),
    der(INTEGER, serial),
    ECDSA_WITH_SHA256,
    name,
    der(SEQUENCE, time(notBefore), time(notAfter)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  )
  const signature = der(BIT_STRING, Buffer.from([0]), sign('sha256', body, privateKey))
  return {
    cert: toPem(der(SEQUENCE, body, ECDSA_WITH_SHA256, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

function toPem(bytes: Buffer): string {
  const lines = bytes.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}
