import net from 'node:net'

export interface RawRequestOptions {
  /** Default 127.0.0.1. */
  host?: string
  /** How long to collect. Default 2000 ms. */
  timeoutMs?: number
  /** Pause before each chunk but the first, so that they arrive as separate reads. Default 5 ms. */
  pauseMs?: number
  /** Close our half after the last chunk. Default false. */
  end?: boolean
  /** Stop collecting as soon as this holds for the text so far. */
  until?: (text: string) => boolean
}

export interface RawResponse {
  /** Everything the server sent, one character per byte. */
  text: string
  /** Why the collecting ended: the server closed, it reset the connection, `until` held, or time was up. */
  ended: 'closed' | 'reset' | 'until' | 'timeout'
}

/** Sends bytes as they are (strings as latin1) and returns everything the server sent until it closed or the time was up. */
export function rawRequest(
  port: number,
  request: string | Buffer | readonly (string | Buffer)[],
  options: RawRequestOptions = {},
): Promise<RawResponse> {
  const { host = '127.0.0.1', timeoutMs = 2000, pauseMs = 5, end = false, until } = options
  const chunks = typeof request === 'string' || Buffer.isBuffer(request) ? [request] : request
  return new Promise((resolve, reject) => {
    const received: string[] = []
    let pause: NodeJS.Timeout | undefined
    const socket = net.connect({ port, host, noDelay: true, allowHalfOpen: true })
    const finish = (ended: RawResponse['ended']) => {
      clearTimeout(limit)
      clearTimeout(pause)
      socket.destroy()
      resolve({ text: received.join(''), ended })
    }
    const limit = setTimeout(() => finish('timeout'), timeoutMs)
    const send = (index: number) => {
      const chunk = chunks[index]
      if (chunk !== undefined && !socket.destroyed) socket.write(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk)
      if (index + 1 < chunks.length) pause = setTimeout(() => send(index + 1), pauseMs)
      else if (end) socket.end()
    }
    socket.on('connect', () => send(0))
    socket.on('data', (data) => {
      received.push(data.toString('latin1'))
      if (until?.(received.join('')) === true) finish('until')
    })
    socket.on('end', () => finish('closed'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') finish('reset')
      else {
        clearTimeout(limit)
        reject(error)
      }
    })
  })
}
