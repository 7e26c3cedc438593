import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runSluice, startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { addHealth, createClient, echoMessage, gatewayConfig, grpc, metricOf, startEcho, startHttp2Server, unary } from './kit.ts'

const MESSAGE = echoMessage('hello')

describe('routes by service and method', () => {
  it('send calls, and only calls, where they belong', async (t) => {
    const [one, all] = [await startEcho(t), await startEcho(t)]
    const gateway = await startSluice(t, {
      ...gatewayConfig([one.address]),
      services: {
        one: { endpoints: [one.address], protocol: 'grpc' },
        all: { endpoints: [all.address], protocol: 'grpc' },
      },
      routes: {
        unary: { match: { grpc: { service: 'echo.Echo', method: 'UnaryEcho' } }, to: 'one' },
        echo: { match: { grpc: { service: 'echo.Echo' } }, to: 'all' },
        other: { match: {}, respond: { status: 200, body: 'not a call' } },
      },
    })
    const client = createClient(t, gateway.port())
    assert.equal((await unary(client, MESSAGE)).code, grpc.status.OK)
    assert.equal((await unary(client, MESSAGE, { path: '/echo.Echo/ClientStreamingEcho' })).code, grpc.status.OK)
    assert.deepEqual([one.calls(), all.calls()], [1, 1])
    for (const path of ['/echo.Other/UnaryEcho', '/echo.Echo/UnaryEcho/more']) {
      assert.match((await unary(client, MESSAGE, { path })).details, /not a call/)
    }
    const plain = await fetch(`${gateway.url}/echo.Echo/UnaryEcho`, {
      method: 'POST',
      body: 'x',
      headers: { 'content-type': 'text/plain' },
    })
    assert.equal(await plain.text(), 'not a call')

    const explained = await runSluice([
      'explain',
      'POST',
      '/echo.Echo/UnaryEcho',
      '-H',
      'content-type: application/grpc+proto',
      '-c',
      gateway.configPath,
    ])
    assert.match(explained.stdout, /\nroute unary\n/)
    const refused = await runSluice(['explain', 'POST', '/echo.Echo/UnaryEcho', '-c', gateway.configPath])
    assert.match(refused.stdout, /\nroute other\n/)
    assert.match(refused.stdout, /lost +unary +header content-type is absent/)
  })

  it('let a filter change calls and answers, and refuse them', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, {
      ...gatewayConfig([echo.address]),
      routes: {
        all: {
          match: { grpc: 'echo.Echo', headers: { authorization: 'Bearer some-secret-token' } },
          filters: [{ headers: { request: { set: { timestamp: 'now' } }, response: { set: { 'x-served': 'yes' } } } }],
          to: 'echo',
        },
        denied: { match: { grpc: 'echo.Echo' }, respond: { status: 401, body: 'invalid token' } },
        internal: { match: { regex: '^/com[.]example[.]internal[.]' }, respond: { status: 404, body: 'Unknown method' } },
      },
    })
    const client = createClient(t, gateway.port())
    const metadata = new grpc.Metadata()
    metadata.set('authorization', 'Bearer some-secret-token')
    const { code, head } = await unary(client, MESSAGE, { metadata })
    assert.equal(code, grpc.status.OK)
    assert.deepEqual([head?.get('timestamp'), head?.get('x-served')], [['now'], ['yes']])
    const denied = await unary(client, MESSAGE)
    assert.equal(`${grpc.status[denied.code]} ${denied.details}`, 'UNAUTHENTICATED invalid token')
    const hidden = await unary(client, MESSAGE, { path: '/com.example.internal.Service/Method' })
    assert.equal(`${grpc.status[hidden.code]} ${hidden.details}`, 'UNIMPLEMENTED Unknown method')
  })
})

describe('health checks by grpc.health.v1', () => {
  it('take calls away from an endpoint that is not SERVING', async (t) => {
    let isServing = false
    const health = await startHttp2Server(t, (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.from(isServing ? '00000000020801' : '00000000020802', 'hex'))
    })
    const good = await startEcho(t)
    addHealth(good)
    const checks = { grpc: { service: 'echo.Echo' }, interval: '100ms', downInterval: '100ms' }
    const gateway = await startSluice(t, gatewayConfig([health.address, good.address], { health: checks }))
    const up = async (address: string): Promise<number | undefined> => {
      const values = await metricOf(gateway.adminUrl, 'sluice_endpoint_health')
      return Object.entries(values).find(([labels]) => labels.includes(address))?.[1]
    }
    await waitFor('the checks', async () => (await up(health.address)) === 0 && (await up(good.address)) === 1)
    const client = createClient(t, gateway.port())
    for (let i = 0; i < 6; i++) assert.equal((await unary(client, MESSAGE)).code, grpc.status.OK)
    assert.equal(good.calls(), 6)
    isServing = true
    await waitFor('the checks', async () => (await up(health.address)) === 1)
  })
})
