// The program behind the test with many endpoints: `node many-endpoints-program.ts COUNT` listens on COUNT ports, answers every request
// with 200 and notes when it came. It prints the ports as JSON, and for each line it reads, the times of all requests by port.
import net from 'node:net'
import { createInterface } from 'node:readline'

const count = Number(process.argv[2])
const times = new Map<number, number[]>()
const answer = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'

function open(): Promise<number> {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      times.get(socket.localPort ?? 0)?.push(performance.now())
      socket.end(answer)
    })
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port))
  })
}

const ports = await Promise.all(Array.from({ length: count }, open))
for (const port of ports) times.set(port, [])
console.log(JSON.stringify(ports))
createInterface({ input: process.stdin }).on('line', () => console.log(JSON.stringify([...times.values()])))
