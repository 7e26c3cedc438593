/** google.api.HttpBody: requests and responses by JSON clients that are no JSON. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { makeDescriptors } from './descriptors.ts'
import { frame, gatewayConfig, respondWith, startHttp2Server } from './kit.ts'

const scope = { after }
const folder = mkdtempSync(join(tmpdir(), 'sluice-body-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const descriptors = join(folder, 'files.binpb')
writeFileSync(descriptors, makeDescriptors(['files.proto'], { sourceInfo: true }))

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

function field(number: number, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content)
  return bytes.length === 0 ? bytes : Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes])
}

const httpBody = (type: string, data: Buffer | string): Buffer => Buffer.concat([field(1, type), field(2, data)])

const seen: Buffer[] = []
const PICTURE = randomBytes(200_000)
const OK = { 'grpc-status': '0' }
const server = await startHttp2Server(scope, (stream, headers) => {
  const pieces: Buffer[] = []
  const answer = (...messages: Buffer[]): void => {
    respondWith(stream, OK)
    for (const message of messages) stream.write(frame(message))
    stream.end()
  }
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  stream.on('end', () => {
    const body = Buffer.concat(pieces)
    seen.push(body)
    const name = body.subarray(7).toString('latin1')
    switch (headers[':path']) {
      case '/files.Files/Download':
        if (name === 'bad-type') return answer(httpBody('text/plain\r\nx-evil: 1', 'hello'))
        if (name === 'no-type') return answer(httpBody('', 'hello'))
        if (name === 'empty') return answer(httpBody('text/css', ''))
        return answer(httpBody('image/png', PICTURE))
      case '/files.Files/Watch':
        if (name === 'error') {
          stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' }, { endStream: true })
          return
        }
        if (name === 'late-error') {
          respondWith(stream, { 'grpc-status': '5', 'grpc-message': 'gone' })
          return void setTimeout(() => stream.end(), 20)
        }
        respondWith(stream, name === 'cut' ? { 'grpc-status': '13', 'grpc-message': 'broken' } : OK)
        // The first message in two pieces: its type is not known at once.
        stream.write(frame(httpBody('text/csv', 'a,b\n')).subarray(0, 9))
        setTimeout(() => stream.write(frame(httpBody('text/csv', 'a,b\n')).subarray(9)), 20)
        setTimeout(() => stream.write(frame(httpBody('', '1,2\n'))), 40)
        setTimeout(() => stream.end(), 60)
        return
      case '/files.Files/Upload':
        return answer(Buffer.concat([field(1, 'x'), field(2, httpBody('text/plain', 'stored'))]))
      default:
        return answer(httpBody('text/plain', String(body.length)))
    }
  })
})
const gateway = await startSluice(
  scope,
  gatewayConfig(
    [server.address],
    {},
    {
      routes: { all: { to: 'echo', filters: [{ 'grpc-json': { descriptors, openapi: '/openapi.json', maxMessage: '1MiB' } }] } },
    },
  ),
)
const { url } = gateway

async function read(path: string, init: RequestInit = {}): Promise<[number, string | null, Buffer]> {
  const response = await fetch(url + path, init)
  return [response.status, response.headers.get('content-type'), Buffer.from(await response.arrayBuffer())]
}

describe('google.api.HttpBody as a response', () => {
  it('is the body as it is, with its type', async () => {
    assert.deepEqual(await read('/v1/files/a/b.png'), [200, 'image/png', PICTURE])
    assert.deepEqual(await read('/v1/files/empty'), [200, 'text/css', Buffer.alloc(0)])
  })

  it('is bytes when it has no type, or one that cannot be a header', async () => {
    for (const name of ['no-type', 'bad-type']) {
      const response = await fetch(`${url}/v1/files/${name}`)
      assert.equal(response.headers.get('content-type'), 'application/octet-stream')
      assert.equal(response.headers.get('x-evil'), null)
      assert.equal(await response.text(), 'hello')
    }
  })

  it('can be a field of the message', async () => {
    assert.deepEqual(await read('/v1/files/x', { method: 'PUT', body: 'new' }), [200, 'text/plain', Buffer.from('stored')])
  })

  it('is one body in a stream of them, with the type of the first', async () => {
    assert.deepEqual(await read('/v1/watch/table'), [200, 'text/csv', Buffer.from('a,b\n1,2\n')])
  })

  it('has the status of an error that comes before it, and is broken off by one that comes later', async () => {
    for (const name of ['error', 'late-error']) {
      const [status, type, body] = await read(`/v1/watch/${name}`)
      assert.deepEqual([status, type, (JSON.parse(body.toString()) as { code: number }).code], [404, 'application/json', 5], name)
    }
    await assert.rejects(read('/v1/watch/cut'))
  })
})

describe('google.api.HttpBody as a request', () => {
  const last = (): Buffer => seen.at(-1) as Buffer

  it('is the body as it is, with its type, in a field beside the path', async () => {
    await read('/v1/files/x.png', { method: 'PUT', body: PICTURE, headers: { 'content-type': 'image/png' } })
    assert.deepEqual(last(), frame(Buffer.concat([field(1, 'x.png'), field(2, httpBody('image/png', PICTURE))])))
    await read('/v1/files/empty', { method: 'PUT' })
    assert.deepEqual(last(), frame(field(1, 'empty')))
  })

  it('is the whole message', async () => {
    const [status, type] = await read('/v1/raw', { method: 'POST', body: '{"not": "read"', headers: { 'content-type': 'text/x-odd' } })
    assert.deepEqual([status, type], [200, 'text/plain'])
    assert.deepEqual(last(), frame(httpBody('text/x-odd', '{"not": "read"')))
  })

  it('is too large where a message would be', async () => {
    assert.equal((await read('/v1/raw', { method: 'POST', body: Buffer.alloc(1024 * 1024 + 1) }))[0], 413)
  })

  it('is a stream, piece by piece', async () => {
    const request = http.request({
      port: gateway.port(),
      path: '/v1/append/log',
      method: 'POST',
      headers: { 'content-type': 'text/x-log' },
    })
    const answered = new Promise<http.IncomingMessage>((resolve) => request.on('response', resolve))
    request.write('one')
    await new Promise((resolve) => setTimeout(resolve, 100))
    request.end('two')
    ;(await answered).resume()
    const first = frame(Buffer.concat([field(1, 'log'), field(2, httpBody('text/x-log', 'one'))]))
    assert.deepEqual(last(), Buffer.concat([first, frame(field(2, httpBody('', 'two')))]))
  })
})

describe('the OpenAPI document', () => {
  it('has the comments of the descriptors, and bodies that are no JSON', async () => {
    type Node = { [key: string]: Node } & { description?: string; summary?: string }
    const document = JSON.parse((await read('/openapi.json'))[2].toString()) as Node
    const download = document['paths']?.['/v1/files/{name}']?.['get'] as Node
    assert.equal(download.summary, 'Gives a file as it is.')
    assert.equal(download.description, 'Gives a file as it is.\n\nIts type is the one it came with.')
    assert.deepEqual(Object.keys(download['responses']?.['200']?.['content'] as Node), ['*/*'])
    const parameters = download['parameters'] as unknown as { name: string; description?: string }[]
    assert.deepEqual(
      parameters.map(({ name, description }) => [name, description]),
      [
        ['name', 'Its name, with folders.'],
        ['content.content_type', undefined],
        ['content.data', undefined],
        ['keeping', 'How long.'],
        ['part.from', 'Where it begins.'],
      ],
    )
    const upload = document['paths']?.['/v1/files/{name}']?.['put'] as Node
    assert.deepEqual(Object.keys(upload['requestBody']?.['content'] as Node), ['*/*'])
    assert.deepEqual(document['tags'] as unknown, [{ name: 'files.Files', description: 'Keeps files.\n\nAll of them.' }])
    const schemas = document['components']?.['schemas'] as Node
    assert.equal(schemas['files.FileRequest.Part'], undefined, 'only what is used')
    const keeping = schemas['files.Keeping'] as Node
    assert.equal(keeping.description, 'How a file is kept.\n\n- `FOR_GOOD`: Until it is deleted.\n- `FOR_A_WHILE`: For thirty days.')
  })
})
