import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { requireFile, requirePrograms } from '../../support/programs.ts'
import { runProgram } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { exchange, openClient, startService } from './kit.ts'

const { thrift } = requirePrograms(['thrift'])
// Not another one on the PATH: the package belongs to the one of the system.
const python3 = requireFile('/usr/bin/python3', 'python3')
requireFile('/usr/lib/python3/dist-packages/thrift/Thrift.py', 'python3-thrift')

const IDL = `
struct Data { 1: string text }
exception Refused { 1: string why }
service format_data { Data do_format(1: Data data) throws (1: Refused refused), oneway void note(1: string text) }
`

const SERVER = `
import sys
sys.path.insert(0, 'gen-py')
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.protocol import TBinaryProtocol
from thrift.server import TServer
from thrift.transport import TSocket, TTransport
from data import format_data
from data.ttypes import Data, Refused

class Handler:
    def do_format(self, data):
        if data.text == 'bad':
            raise Refused('no')
        if data.text == 'worse':
            raise RuntimeError('broken')
        return Data('127.0.0.1:6001 DoFormat')
    def note(self, text):
        pass

processor = TMultiplexedProcessor()
processor.registerProcessor('formatter', format_data.Processor(Handler()))
processor.registerDefault(format_data.Processor(Handler()))
server = TServer.TThreadedServer(
    processor,
    TSocket.TServerSocket('127.0.0.1', int(sys.argv[1])),
    TTransport.TFramedTransportFactory(),
    TBinaryProtocol.TBinaryProtocolFactory(True, True),
    daemon=True)
server.serve()
`

const CLIENT = `
import sys
sys.path.insert(0, 'gen-py')
from thrift.Thrift import TApplicationException
from thrift.protocol import TBinaryProtocol, TMultiplexedProtocol
from thrift.transport import TSocket, TTransport
from data import format_data
from data.ttypes import Data, Refused

transport = TTransport.TFramedTransport(TSocket.TSocket('127.0.0.1', int(sys.argv[1])))
protocol = TBinaryProtocol.TBinaryProtocol(transport, True, True)
transport.open()
client = format_data.Client(protocol)
for i in range(5):
    print(client.do_format(Data('ping')).text)
client.note('x' * 100000)
try:
    client.do_format(Data('bad'))
except Refused as refused:
    print('refused', refused.why)
try:
    client.do_format(Data('worse'))
except TApplicationException:
    print('exception')
multiplexed = format_data.Client(TMultiplexedProtocol.TMultiplexedProtocol(protocol, 'formatter'))
print(multiplexed.do_format(Data('ping')).text)
transport.close()
`

/** The code that the compiler makes from the IDL, a server, and a client beside it. */
async function createProgram(scope: CleanupScope): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-thrift-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries({ 'data.thrift': IDL, 'server.py': SERVER, 'client.py': CLIENT }))
    writeFileSync(join(folder, name), text)
  const { code, stdout, stderr } = await runProgram(thrift, ['--gen', 'py', 'data.thrift'], { cwd: folder })
  assert.equal(code, 0, stdout + stderr)
  return folder
}

test('a Thrift client and server made by the compiler talk through it, and calls are counted by method', async (t) => {
  const folder = await createProgram(t)
  const port = await freePort()
  const server = spawn(python3, ['server.py', String(port)], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  t.after(() => void server.kill('SIGKILL'))
  await waitFor('the server', async () => !(await openClient(t, port)).socket.destroyed)
  const sluice = await startSluice(t, {
    workers: 2,
    listeners: { thrift: { address: '127.0.0.1:0', protocol: 'tcp', to: 'format', thrift: true, allow: '127.0.0.1' } },
    services: { format: { endpoints: [`127.0.0.1:${port}`] } },
  })
  const { stdout, stderr, code } = await runProgram(python3, ['client.py', String(sluice.port())], { cwd: folder })
  assert.equal(code, 0, stderr)
  const reply = '127.0.0.1:6001 DoFormat'
  assert.deepEqual(stdout.trim().split('\n'), [...Array(5).fill(reply), 'refused no', 'exception', reply])
  const metrics = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  const counted = new Map<string, number>()
  for (const [, labels = '', value] of metrics.matchAll(/^sluice_thrift_messages_total\{(.*)\} (\d+)$/gm)) {
    const label = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1]
    assert.deepEqual([label('listener'), label('service')], ['thrift', 'format'])
    counted.set(`${label('type')} ${label('method')}`, Number(value))
  }
  assert.deepEqual(Object.fromEntries(counted), {
    'call do_format': 7,
    'reply do_format': 7,
    'exception do_format': 1,
    'oneway note': 1,
    'call formatter:do_format': 1,
  })
})

test('the bytes of a call and its reply pass unchanged, and so does what is no Thrift', async (t) => {
  const call = Buffer.from('000000258001000100000009646f5f666f726d6174000000010c00010b00010000000470696e670000', 'hex')
  const reply = Buffer.concat([
    Buffer.from('000000388001000200000009646f5f666f726d6174000000010c00000b000100000017', 'hex'),
    Buffer.from('127.0.0.1:6001 DoFormat'),
    Buffer.from([0, 0]),
  ])
  const got: Buffer[] = []
  const service = await startService(t, (socket) => {
    socket.on('data', (bytes) => got.push(bytes))
    socket.on('end', () => socket.end(reply))
  })
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { thrift: { address: '127.0.0.1:0', protocol: 'tcp', to: 's', thrift: true } },
    services: { s: { endpoints: [service.address] } },
  })
  const answer = await exchange(t, sluice.port(), call.toString('latin1'))
  assert.equal(Buffer.from(answer.received, 'latin1').toString('hex'), reply.toString('hex'))
  assert.equal(Buffer.concat(got).toString('hex'), call.toString('hex'))
  got.length = 0
  await exchange(t, sluice.port(), 'GET / HTTP/1.0\r\n\r\n')
  assert.equal(Buffer.concat(got).toString(), 'GET / HTTP/1.0\r\n\r\n')
})
