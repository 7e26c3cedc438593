// The program behind the test with many endpoints: `node many-endpoints-program.ts COUNT` listens on COUNT ports, answers every request
// with 200 and notes when it came. The first half of the ports speaks HTTP/1.1, the second HTTP/2. It prints the ports as JSON, and for each
// line it reads, the times of all requests by port.
import http2 from 'node:http2'
import net from 'node:net'
import { createInterface } from 'node:readline'

const count = Number(process.argv[2])
const times = new Map<number, number[]>()
const answer = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'

function openHttp2(): net.Server {
  const server = http2.createServer((request, response) => {
    times.get(request.socket.localPort ?? 0)?.push(performance.now())
    response.end('ok')
  })
  server.on('session', (session) => session.on('error', () => {}))
  return server
}

function openHttp1(): net.Server {
  return net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      times.get(socket.localPort ?? 0)?.push(performance.now())
      socket.end(answer)
    })
  })
}

function open(_: unknown, i: number): Promise<number> {
  const server = i < count / 2 ? openHttp1() : openHttp2()
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port))
  })
}

const ports = await Promise.all(Array.from({ length: count }, open))
for (const port of ports) times.set(port, [])
console.log(JSON.stringify(ports))
createInterface({ input: process.stdin }).on('line', () => console.log(JSON.stringify([...times.values()])))
