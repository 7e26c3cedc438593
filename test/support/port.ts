import net from 'node:net'

/**
 * A port that was free a moment ago. Only for programs that cannot listen on port 0 and tell: somebody else may take it before they do.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}
