import net from 'node:net'

/** What the clients have seen so far. */
export interface ClientCounts {
  /** Complete 2xx answers. */
  answered: number
  /** Answers with another status, by status. */
  bad: Map<number, number>
  /** Requests that were sent on a connection which then ended without a complete answer. */
  lost: string[]
  /** Connections that ended, by an orderly close, while no request was under way. */
  closedIdle: number
  /** Connections closed because the answer said `Connection: close`. */
  closedPolitely: number
  /** Connections that could not be opened: the gateway is gone. */
  refused: number
  opened: number
}

export interface CarefulOptions {
  port: number
  clients: number
  /** Default: `GET /`, with `Connection: close` when `isClosing`. */
  request?: string
  /** Pause between the answer and the next request. Default 0. */
  thinkMs?: number
  /** A connection for each request, as the client says in it. */
  isClosing?: boolean
}

/**
 * HTTP/1.1 clients that do what RFC 9112 section 9 asks of a client: keep the connection, heed `Connection: close`, open a new
 * connection after an orderly end. They do not repeat a request, so every loss is seen.
 */
export class CarefulClients {
  readonly counts: ClientCounts = { answered: 0, bad: new Map(), lost: [], closedIdle: 0, closedPolitely: 0, refused: 0, opened: 0 }
  readonly #options: CarefulOptions
  readonly #running: Promise<void>[] = []
  #isStopping = false

  constructor(options: CarefulOptions) {
    this.#options = options
    for (let i = 0; i < options.clients; i++) this.#running.push(this.#run())
  }

  /** Lets every client finish its request, then closes. */
  async stop(): Promise<ClientCounts> {
    this.#isStopping = true
    await Promise.all(this.#running)
    return this.counts
  }

  /** Resolves when every client has stopped by itself, because it was refused. */
  async refused(): Promise<ClientCounts> {
    await Promise.all(this.#running)
    return this.counts
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) if (!(await this.#connection())) return
  }

  /** One connection, from its opening to its end. False: it was refused. */
  #connection(): Promise<boolean> {
    const { port, thinkMs = 0, isClosing = false } = this.#options
    const { counts } = this
    const request = this.#options.request ?? `GET / HTTP/1.1\r\nHost: test\r\n${isClosing ? 'Connection: close\r\n' : ''}\r\n`
    return new Promise((resolve) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      let text = ''
      let isWaiting = false
      let isConnected = false
      let isDone = false
      let think: NodeJS.Timeout | undefined
      const finish = (proceed: boolean) => {
        if (isDone) return
        isDone = true
        clearTimeout(think)
        socket.destroy()
        resolve(proceed)
      }
      const send = () => {
        isWaiting = true
        socket.write(request)
      }
      socket.on('connect', () => {
        isConnected = true
        counts.opened++
        send()
      })
      socket.on('data', (data) => {
        text += data.toString('latin1')
        const answer = parseAnswer(text)
        if (answer === null) return
        text = ''
        isWaiting = false
        if (answer.status < 300) counts.answered++
        else counts.bad.set(answer.status, (counts.bad.get(answer.status) ?? 0) + 1)
        if (answer.close) counts.closedPolitely++
        if (answer.close || this.#isStopping) finish(true)
        else if (thinkMs === 0) send()
        else
          think = setTimeout(() => {
            if (this.#isStopping) finish(true)
            else send()
          }, thinkMs)
      })
      const onEnd = (why: string) => {
        if (isDone) return
        if (isWaiting) counts.lost.push(why)
        else counts.closedIdle++
        finish(true)
      }
      socket.on('end', () => onEnd(`closed after ${text.length} bytes`))
      socket.on('close', () => onEnd('closed'))
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (!isConnected) {
          counts.refused++
          finish(false)
        } else {
          onEnd(error.code ?? error.message)
        }
      })
    })
  }
}

/** A complete answer with a Content-Length, or null. */
function parseAnswer(text: string): { status: number; close: boolean } | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const head = text.slice(0, end)
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
  if (text.length < end + 4 + length) return null
  return { status: Number(head.slice(9, 12)), close: /\r\nconnection: close/i.test(head) }
}
