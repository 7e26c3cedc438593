// The program behind startUpstreamProcess: `node upstream-program.ts PORT BODY DELAY_MS`. Over node:net, because it must be cheaper than
// what it serves; it reads only requests without a body.
import net from 'node:net'

const [port = '0', body = 'ok', delay = '0'] = process.argv.slice(2)
let delayMs = Number(delay)
let resets = false
const answer = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`
let served = 0

const server = net.createServer({ noDelay: true }, (socket) => {
  let rest = ''
  socket.setEncoding('latin1')
  socket.on('error', () => {})
  socket.on('data', (text: string) => {
    rest += text
    for (let end = rest.indexOf('\r\n\r\n'); end !== -1; end = rest.indexOf('\r\n\r\n')) {
      const path = rest.slice(4, rest.indexOf(' ', 4))
      rest = rest.slice(end + 4)
      if (path === '/count') tell(socket, String(served))
      else if (path === '/healthz') tell(socket, 'well')
      else if (path.startsWith('/mode/')) {
        resets = path === '/mode/reset'
        if (!resets) delayMs = Number(path.slice('/mode/'.length))
        tell(socket, 'so be it')
      } else if (resets) {
        socket.resetAndDestroy()
        return
      } else if (delayMs === 0) {
        served++
        socket.write(answer)
      } else {
        setTimeout(() => {
          served++
          socket.write(answer)
        }, delayMs)
      }
    }
  })
})

function tell(socket: net.Socket, text: string): void {
  socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
}

server.listen(Number(port), '127.0.0.1', () => console.log((server.address() as net.AddressInfo).port))
