// A TCP service: messages with a magic and a length come in, each is answered with its length and its text in capitals.
//
//   node examples/tcp-service/server.ts            (LISTEN=127.0.0.1:9999 by default)
//   printf '12345678\0\0\0\005hello' | nc -N 127.0.0.1 9999 | xxd
//
// In a project of your own: import { createTcpServer, lengthPrefixed } from 'sluice/tcp'
import { createTcpServer, lengthPrefixed } from '../../src/tcp.ts'

/** What both programs agreed on: 8 bytes of magic, 4 bytes of length, the body. */
const framing = lengthPrefixed({ magic: '12345678', maxFrameBytes: 64 * 1024 })

const server = createTcpServer({
  address: process.env['LISTEN'] ?? '127.0.0.1:9999',
  readTimeoutMs: 5_000,
  idleTimeoutMs: 60_000,
  maxConnections: 1_000,
  async handler(connection) {
    for await (const body of connection.messages(framing)) {
      await connection.send(framing, `${body.length} ${body.toString().toUpperCase()}`)
    }
  },
  onError(error, connection) {
    console.error(`${connection.remoteAddress}: ${error instanceof Error ? error.message : error}`)
  },
})

const { host, port } = await server.listen()
console.log(`listening on ${host}:${port}`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close({ graceMs: 10_000 }))
