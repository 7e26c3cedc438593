/**
 * What the conformance cases of HTTP/2 towards services share: an endpoint made of frames that misbehaves when it is told to by the path,
 * without TLS and with it, and a gateway before it.
 */
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { codeOf, DATA, type Frame, frame, GOAWAY, HEADERS, RST_STREAM, SETTINGS } from '../e2e/http2/kit.ts'
import { type Client, http1Client } from '../e2e/http2/upstream-kit.ts'
import { Authority } from '../e2e/tls/kit.ts'
import type { CleanupScope } from '../support/cleanup.ts'
import { type SluiceProcess, startSluice } from '../support/sluice.ts'
import { waitFor } from '../support/wait.ts'
import { ACK, bytes, END_HEADERS, END_STREAM, FieldReader } from './kit.ts'

/** One connection of the gateway, as the endpoint sees it. */
export class EndpointConnection {
  readonly socket: net.Socket
  readonly frames: Frame[] = []
  readonly reader = new FieldReader()
  isClosed = false

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('close', () => (this.isClosed = true))
  }

  send(...all: Buffer[]): void {
    if (this.socket.writable) this.socket.write(Buffer.concat(all))
  }

  find(type: number, id: number): Frame | undefined {
    return this.frames.find((one) => one.type === type && one.id === id)
  }
}

/** What an endpoint does with a request on stream `id`. */
export type Misbehaviour = (id: number, connection: EndpointConnection, fields: Record<string, string>) => Buffer[] | Promise<Buffer[]>

/** What the client and the endpoint get to see. */
export interface Expected {
  /** Status of the answer and `error` in it, or what its body is; null: the answer breaks off, or there is 502 if it had not begun. */
  client: [number, string] | null
  /** The code of GOAWAY, after which the connection closes. */
  goaway?: number
  /** The code of RST_STREAM, after which the connection goes on. */
  reset?: number
}

export const brokenConnection = (goaway: number): Expected => ({ client: [502, 'upstream_protocol'], goaway })
export const brokenStream = (reset: number): Expected => ({ client: [502, 'upstream_protocol'], reset })
export const answered = (body: string): Expected => ({ client: [200, body] })

/** `:status 200` is an entry of the static table. */
export const OK = bytes(0x88)
/** The head of a response that goes on. */
export const head = (id: number, block: Buffer = OK): Buffer => frame(HEADERS, END_HEADERS, id, block)
export const last = (id: number, text = ''): Buffer => frame(DATA, END_STREAM, id, text)
export const whole = (id: number, text: string): Buffer[] => [head(id), last(id, text)]

interface Case {
  misbehave: Misbehaviour
  connection: EndpointConnection | null
  id: number
}

export interface UpstreamSuite {
  /** Registers a case, one test for each transport. */
  check(section: string, name: string, expected: Expected, misbehave: Misbehaviour): void
  sluice: SluiceProcess
  client: Client
}

type Transport = 'cleartext' | 'TLS'

export async function startUpstreamSuite(scope: CleanupScope): Promise<UpstreamSuite> {
  const authority = new Authority(scope)
  const { cert, key } = authority.issue('app.test')
  const cases: Case[] = []
  const onRequest = async (connection: EndpointConnection, id: number, fields: Record<string, string>) => {
    const found = cases[Number(/\/case\/(\d+)/.exec(fields[':path'] as string)?.[1] ?? -1)]
    if (found === undefined) return connection.send(...whole(id, 'fine'))
    found.connection = connection
    found.id = id
    connection.send(...(await found.misbehave(id, connection, fields)))
  }
  const addresses = {
    cleartext: await listen(
      scope,
      net.createServer({ noDelay: true }, (socket) => serve(socket, onRequest)),
    ),
    TLS: await listen(
      scope,
      tls.createServer({ cert, key, ALPNProtocols: ['h2'], noDelay: true }, (socket) => serve(socket, onRequest)),
    ),
  }
  const rest = { protocol: 'http2', ejection: null, retry: null }
  const sluice = await startSluice(scope, {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: {
      cleartext: { endpoints: [addresses.cleartext], ...rest },
      TLS: { endpoints: [addresses.TLS], tls: { ca: authority.path, serverName: 'app.test' }, ...rest },
    },
    routes: { cleartext: { match: { prefix: '/cleartext' }, to: 'cleartext' }, TLS: { match: { prefix: '/TLS' }, to: 'TLS' } },
  })
  const client = http1Client(sluice.port())

  async function run(transport: Transport, expected: Expected, misbehave: Misbehaviour): Promise<void> {
    const one: Case = { misbehave, connection: null, id: 0 }
    const path = `/${transport}/case/${cases.push(one) - 1}`
    const answer = await client.ask({ path }).catch(() => null)
    if (expected.client === null) {
      assert.ok(answer === null || answer.status === 502, `${answer?.status} ${answer?.body}`)
    } else {
      const [status, text] = expected.client
      assert.equal(answer?.status, status, answer?.body)
      assert.equal(status === 502 ? (JSON.parse(answer.body) as { code: string }).code : answer.body, text)
    }
    const connection = one.connection as EndpointConnection
    if (expected.goaway !== undefined) {
      await waitFor('GOAWAY', () => connection.find(GOAWAY, 0) !== undefined)
      assert.equal(codeOf(connection.find(GOAWAY, 0) as Frame), expected.goaway)
      await waitFor('the end of the connection', () => connection.isClosed)
    } else if (expected.reset !== undefined) {
      await waitFor('RST_STREAM', () => connection.find(RST_STREAM, one.id) !== undefined)
      assert.equal(codeOf(connection.find(RST_STREAM, one.id) as Frame), expected.reset)
    }
    const requests = connection.frames.filter(({ type }) => type === HEADERS).length
    assert.equal((await client.ask({ path: `/${transport}/fine` })).body, 'fine')
    if (expected.goaway !== undefined) return
    assert.equal(connection.find(GOAWAY, 0), undefined, 'the connection goes on')
    assert.equal(connection.frames.filter(({ type }) => type === HEADERS).length, requests + 1, 'and takes the next request')
  }

  return {
    sluice,
    client,
    check(section, name, expected, misbehave) {
      for (const transport of ['cleartext', 'TLS'] as const) {
        test(`${section}: ${name} (${transport})`, () => run(transport, expected, misbehave))
      }
    },
  }
}

/** Cuts what the gateway sends into frames, greets it, and calls back for each request. */
export function serve(
  socket: net.Socket,
  onRequest: (connection: EndpointConnection, id: number, fields: Record<string, string>) => void,
  greeting: Buffer = frame(SETTINGS, 0, 0),
): EndpointConnection {
  const connection = new EndpointConnection(socket)
  let rest: Buffer = Buffer.alloc(0)
  let isPrefaceOver = false
  socket.on('error', () => {})
  socket.on('data', (data: Buffer) => {
    rest = Buffer.concat([rest, data])
    if (!isPrefaceOver) {
      if (rest.length < 24) return
      assert.equal(rest.toString('latin1', 0, 24), 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
      rest = rest.subarray(24)
      isPrefaceOver = true
      connection.send(greeting)
    }
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const size = 9 + rest.readUIntBE(0, 3)
      const one: Frame = { type: rest[3] as number, flags: rest[4] as number, id: rest.readUInt32BE(5), payload: rest.subarray(9, size) }
      rest = rest.subarray(size)
      connection.frames.push(one)
      if (one.type === SETTINGS && (one.flags & ACK) === 0) connection.send(frame(SETTINGS, ACK, 0))
      if (one.type === HEADERS) onRequest(connection, one.id, Object.fromEntries(connection.reader.read(one.payload)))
    }
  })
  return connection
}

export async function listen(scope: CleanupScope, server: net.Server): Promise<string> {
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  scope.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`
}
