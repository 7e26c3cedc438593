/** Descriptors for `grpc-json` that come from the service itself, and files of them that change. */
import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { makeDescriptors } from './descriptors.ts'
import { type EchoServer, echoMessage, gatewayConfig, type grpc, startEcho } from './kit.ts'

const files = fromBinary(FileDescriptorSetSchema, makeDescriptors(['echo.proto'])).file

function bytesField(number: number, content: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(content).finish()
}

/** What a server of one file per answer says; the imports have to be asked for by name. */
function answer(request: Buffer): Buffer {
  const reader = new BinaryReader(request)
  const [field] = reader.tag()
  const text = reader.string()
  if (field === 7) {
    const names = ['grpc.reflection.v1.ServerReflection', 'echo.Echo'].map((name) => bytesField(1, bytesField(1, Buffer.from(name))))
    return Buffer.from(bytesField(6, Buffer.concat(names)))
  }
  const file = files.find(({ name }) => name === (field === 4 && text === 'echo.Echo' ? 'echo.proto' : text))
  if (file === undefined) return Buffer.from(bytesField(7, bytesField(2, Buffer.from(`no ${text}`))))
  return Buffer.from(bytesField(4, bytesField(1, toBinary(FileDescriptorProtoSchema, file as FileDescriptorProto))))
}

function addReflection({ server }: EchoServer, version: string): void {
  const asIs = (bytes: Buffer): Buffer => bytes
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`
  const codec = { requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs }
  server.addService(
    { info: { path, requestStream: true, responseStream: true, ...codec } },
    {
      info: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (request: Buffer) => call.write(answer(request)))
        call.on('end', () => call.end())
      },
    },
  )
}

function config(endpoint: string, options: object): object {
  return gatewayConfig([endpoint], { retry: null }, { routes: { all: { to: 'echo', filters: [{ 'grpc-json': options }] } } })
}

async function ask(port: number): Promise<[number, unknown]> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/example/echo`, { method: 'POST', body: '{"message":"hi"}' })
  return [response.status, await response.json()]
}

describe('descriptors by server reflection', () => {
  for (const version of ['v1', 'v1alpha']) {
    it(`come with ${version}`, async (t) => {
      const echo = await startEcho(t)
      addReflection(echo, version)
      const gateway = await startSluice(t, config(echo.address, { reflection: true }))
      assert.deepEqual(await ask(gateway.port()), [200, { message: 'hi' }])
    })
  }
  it('are asked for again until the service has them', { timeout: 120_000 }, async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address, { reflection: true, services: ['echo.Echo'] }))
    const [status, body] = await ask(gateway.port())
    assert.deepEqual([status, (body as { code: string }).code], [502, 'connect_failed'])
    addReflection(echo, 'v1')
    await waitFor('the descriptors', async () => (await ask(gateway.port()))[0] === 200)
  })
})

describe('a file of descriptors', () => {
  it('is read again with the configuration', { timeout: 120_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-descriptors-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const path = join(folder, 'api.binpb')
    writeFileSync(path, makeDescriptors(['library.proto']))
    const echo = await startEcho(t, { UnaryEcho: (_call, callback) => callback(null, echoMessage('yes')) })
    const gateway = await startSluice(t, config(echo.address, { descriptors: path }))
    assert.equal((await ask(gateway.port()))[0], 404)
    writeFileSync(`${path}.new`, makeDescriptors(['echo.proto']))
    renameSync(`${path}.new`, path)
    const response = await fetch(`${gateway.adminUrl}/reload`, { method: 'POST' })
    assert.equal(response.status, 200, await response.text())
    assert.deepEqual(await ask(gateway.port()), [200, { message: 'yes' }])
  })
})
