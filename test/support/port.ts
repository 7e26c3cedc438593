import net from 'node:net'

/** Below the ports that the kernel gives to connections and to whoever listens on port 0, which other tests do all the time. */
const LOWEST = 12_000
const HIGHEST = 32_000

/**
 * A port that was free a moment ago. Only for programs that cannot listen on port 0 and tell, and for what must come back on the same
 * port: somebody else may take it before they do.
 */
export async function freePort(): Promise<number> {
  for (let i = 0; i < 100; i++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if (await isFree(port)) return port
  }
  throw new Error(`100 ports between ${LOWEST} and ${HIGHEST} are all taken`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
