import net from 'node:net'
import { type DemoService, listen } from './service.ts'

/** Sends back what comes, byte for byte. */
export function startTcpEcho(name: string, port: number): Promise<DemoService> {
  const open = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const socket of open) socket.destroy()
    })
  return listen(server, name, port, close)
}
