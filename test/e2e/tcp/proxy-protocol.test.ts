import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildLocalProxyHeader, buildProxyHeader, parseProxyHeader } from '../../../src/codec/proxy-protocol.ts'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { requireFile, requirePrograms } from '../../support/programs.ts'
import { curl } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { openClient, startEcho, startService, type TcpService } from './kit.ts'

const { haproxy, nginx } = requirePrograms(['haproxy', 'nginx', 'curl'])
const streamModule = requireFile('/usr/lib/nginx/modules/ngx_stream_module.so', 'libnginx-mod-stream')

function spawnProgram(scope: CleanupScope, program: string, args: (folder: string) => string[]): ChildProcess {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-proxy-'))
  const child = spawn(program, args(folder), { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = new Promise((resolve) => child.once('close', resolve))
  scope.after(async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true, force: true })
  })
  return child
}

async function startHaproxy(scope: CleanupScope, sections: string): Promise<void> {
  const timeouts = 'timeout connect 2s\n  timeout client 10s\n  timeout server 10s'
  spawnProgram(scope, haproxy, (folder) => {
    writeFileSync(join(folder, 'h.cfg'), `global\n  maxconn 100\ndefaults\n  ${timeouts}\n${sections}\n`)
    return ['-db', '-q', '-f', join(folder, 'h.cfg')]
  })
  await sleep(100)
}

async function startNginx(scope: CleanupScope, sections: string, modules = ''): Promise<void> {
  spawnProgram(scope, nginx, (folder) => {
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')
    const head = `${modules} daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/errors; events { }`
    writeFileSync(join(folder, 'n.conf'), `${head}\n${sections.replace('http {', `http { access_log off; ${paths}`)}\n`)
    return ['-p', folder, '-e', join(folder, 'errors'), '-c', join(folder, 'n.conf')]
  })
  await sleep(100)
}

/** Until the program listens. */
async function get(...args: string[]): Promise<string> {
  return waitFor(`an answer to ${args.join(' ')}`, async () => {
    try {
      return await curl(...args)
    } catch {
      return null
    }
  })
}

/** Keeps what each connection sent. */
async function startRecorder(scope: CleanupScope): Promise<{ service: TcpService; received: Buffer[] }> {
  const received: Buffer[] = []
  const service = await startService(scope, (socket) => {
    const index = received.push(Buffer.alloc(0)) - 1
    socket.on('data', (bytes) => (received[index] = Buffer.concat([received[index] as Buffer, bytes])))
    socket.on('end', () => socket.end('bye'))
  })
  return { service, received }
}

for (const version of ['v1', 'v2'] as const) {
  test(`HAProxy and nginx understand the ${version} headers that are sent`, async (t) => {
    const [haproxyPort, nginxPort] = [await freePort(), await freePort()]
    const answer = 'http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"'
    await startHaproxy(t, `frontend f\n  mode http\n  bind 127.0.0.1:${haproxyPort} accept-proxy\n  ${answer}`)
    const body = '$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port'
    await startNginx(t, `http { server { listen 127.0.0.1:${nginxPort} proxy_protocol; location / { return 200 "${body}"; } } }`)
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: {
        haproxy: { address: '127.0.0.1:0', protocol: 'tcp', to: 'haproxy' },
        nginx: { address: '127.0.0.1:0', protocol: 'tcp', to: 'nginx' },
      },
      services: {
        haproxy: { endpoints: [`127.0.0.1:${haproxyPort}`], proxyProtocol: version },
        nginx: { endpoints: [`127.0.0.1:${nginxPort}`], proxyProtocol: version, health: { http: '/', interval: '200ms' } },
      },
    })
    await waitFor('checks that nginx understands, too', async () => {
      const metrics = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
      return /^sluice_health_checks_total\{result="pass",service="nginx"\} [2-9]/m.test(metrics) && !/result="fail"/.test(metrics)
    })
    for (const name of ['haproxy', 'nginx']) {
      const port = sluice.port(name)
      const text = await get('--interface', '127.0.0.5', '--local-port', '20000-60000', `http://127.0.0.1:${port}/`)
      const [source, sourcePort, destination, destinationPort] = text.split(' ')
      assert.deepEqual([source, destination, destinationPort], ['127.0.0.5', '127.0.0.1', String(port)], name)
      assert.ok(Number(sourcePort) >= 20000 && Number(sourcePort) <= 60000)
    }
  })
}

test('the headers of HAProxy and nginx are understood, on TCP and HTTP listeners, and go on to the service', async (t) => {
  const ports = { v1: await freePort(), v2: await freePort(), crc: await freePort(), nginx: await freePort(), http: await freePort() }
  const recorder = await startRecorder(t)
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      tcp: { address: '127.0.0.1:0', protocol: 'tcp', to: 's', proxyProtocol: { from: '127.0.0.0/8' } },
      web: { address: '127.0.0.1:0', proxyProtocol: { from: ['127.0.0.1'] } },
    },
    services: { s: { endpoints: [recorder.service.address], proxyProtocol: 'v2' } },
    routes: { r: { filters: [{ headers: { response: { set: { 'x-client': '${clientIp}' } } } }], respond: { body: 'hello' } } },
  })
  const [tcp, web] = [`127.0.0.1:${sluice.port('tcp')}`, `127.0.0.1:${sluice.port('web')}`]
  const listen = (name: string, port: number, server: string) =>
    `listen ${name}\n  mode tcp\n  bind 127.0.0.1:${port}\n  server s ${server}`
  await startHaproxy(
    t,
    [
      listen('v1', ports.v1, `${tcp} send-proxy`),
      listen('v2', ports.v2, `${tcp} send-proxy-v2`),
      listen('crc', ports.crc, `${tcp} send-proxy-v2 proxy-v2-options crc32c,unique-id`),
      listen('http', ports.http, `${web} send-proxy-v2 proxy-v2-options crc32c`),
    ].join('\n'),
  )
  await startNginx(
    t,
    `stream { server { listen 127.0.0.1:${ports.nginx}; proxy_pass ${tcp}; proxy_protocol on; proxy_half_close on; } }`,
    `load_module ${streamModule};`,
  )
  await sleep(200)
  for (const port of [ports.v1, ports.v2, ports.crc, ports.nginx]) {
    const before = recorder.received.length
    const client = await openClient(t, port, { localAddress: '127.0.0.6' })
    const { localPort } = client.socket
    client.socket.end('hello')
    assert.equal(await client.closed, 'end')
    assert.equal(client.received, 'bye')
    const bytes = recorder.received[before] as Buffer
    const header = parseProxyHeader(bytes, bytes.length)
    assert.ok(typeof header === 'object')
    assert.deepEqual(header.source, { address: '127.0.0.6', port: localPort })
    assert.deepEqual(header.destination, { address: '127.0.0.1', port })
    assert.equal(bytes.toString('latin1', header.length), 'hello')
  }
  const answer = await get('-i', '--interface', '127.0.0.7', `http://127.0.0.1:${ports.http}/`)
  assert.match(answer, /^x-client: 127\.0\.0\.7\r$/im)
  const lines = await waitFor('the access log', () => {
    const found = sluice.logs.filter((line) => line.includes('"clientIp":"127.0.0.'))
    return found.length >= 5 ? found : null
  })
  assert.equal(lines.filter((line) => JSON.parse(line).clientIp === '127.0.0.6').length, 4)
})

test('a header from elsewhere, none, a wrong one and a slow one close the connection; split headers are fine', async (t) => {
  const echo = await startEcho(t)
  const trusted = { proxyProtocol: { from: ['127.0.0.2'] } }
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      tcp: { address: '127.0.0.1:0', protocol: 'tcp', to: 's', ...trusted, deny: '192.0.2.66', timeouts: { head: '300ms' } },
      web: { address: '127.0.0.1:0', ...trusted, timeouts: { head: '300ms' } },
      plain: { address: '127.0.0.1:0', protocol: 'tcp', to: 's' },
    },
    services: { s: { endpoints: [echo.address] } },
    routes: { r: { respond: { body: 'hello' } } },
  })
  const to = { address: '127.0.0.1', port: 80 }
  const header = buildProxyHeader('v2', { address: '192.0.2.7', port: 1234 }, to)
  const request = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  for (const listener of ['tcp', 'web']) {
    const port = sluice.port(listener)
    const send = async (from: string, bytes: Buffer) => {
      const client = await openClient(t, port, { localAddress: from })
      client.socket.write(bytes)
      return client
    }
    const spoofed = await send('127.0.0.1', Buffer.concat([header, request]))
    assert.equal(await spoofed.closed, 'ECONNRESET', 'from an address that may not send one')
    assert.equal(spoofed.received, '')
    for (const bytes of [request, Buffer.concat([Buffer.from('PROXY TCP9 a b 1 2\r\n'), request])]) {
      const wrong = await send('127.0.0.2', bytes)
      assert.equal(await wrong.closed, 'ECONNRESET', bytes.toString())
      assert.equal(wrong.received, '')
    }
    const startedMs = performance.now()
    const slow = await send('127.0.0.2', header.subarray(0, 20))
    assert.equal(await slow.closed, 'ECONNRESET')
    const ms = performance.now() - startedMs
    assert.ok(ms > 250 && ms < 5000, `closed after ${ms} ms`)
    const left = await send('127.0.0.2', header.subarray(0, 20))
    left.socket.end()
    assert.equal(await left.closed, 'ECONNRESET', 'a FIN in the middle of the header')

    const versions = [
      header,
      buildProxyHeader('v1', { address: '2001:db8::7', port: 1 }, { address: '::1', port: 2 }),
      buildLocalProxyHeader('v2'),
    ]
    for (const start of versions) {
      const bytes = Buffer.concat([start, request])
      for (const at of [1, 12, start.length - 1, start.length, start.length + 1, bytes.length]) {
        const client = await send('127.0.0.2', bytes.subarray(0, at))
        if (at < bytes.length) {
          await sleep(5)
          client.socket.write(bytes.subarray(at))
        }
        client.socket.end()
        await client.closed
        if (listener === 'tcp') assert.equal(client.received, request.toString())
        else assert.match(client.received, /^HTTP\/1\.1 200 OK\r\n[\s\S]*hello$/)
      }
    }
  }
  const denied = await openClient(t, sluice.port('tcp'), { localAddress: '127.0.0.2' })
  denied.socket.write(buildProxyHeader('v1', { address: '192.0.2.66', port: 1 }, to))
  assert.equal(await denied.closed, 'ECONNRESET', 'lists look at the address in the header')
  const passed = await openClient(t, sluice.port('plain'))
  passed.socket.end(Buffer.concat([header, request]))
  await passed.closed
  assert.equal(passed.received, Buffer.concat([header, request]).toString('latin1'), 'without the setting they are bytes like others')
  const metrics = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  assert.match(metrics, /^sluice_tcp_connections_total\{listener="tcp",result="proxy_header_invalid"\} 5$/m)
})
