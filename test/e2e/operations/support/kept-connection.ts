import net from 'node:net'

export interface Answer {
  status: number
  /** Status line and fields. */
  head: string
  body: string
}

/** One client connection, for tests that look at what becomes of it. Reads answers with a Content-Length. */
export class KeptConnection {
  readonly socket: net.Socket
  /** How the other side ended it: not yet, with a FIN, or with an RST. */
  ended: 'no' | 'fin' | 'reset' = 'no'
  #text = ''
  #wake: () => void = () => undefined

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (data) => {
      this.#text += data.toString('latin1')
      this.#wake()
    })
    socket.on('end', () => this.#onEnded('fin'))
    socket.on('error', () => this.#onEnded('reset'))
  }

  static open(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<KeptConnection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', ...options })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new KeptConnection(socket))
      })
    })
  }

  /** Sends a request and reads its answer. Rejects when the connection ends before that. */
  async request(text: string): Promise<Answer> {
    this.socket.write(text, 'latin1')
    for (;;) {
      const answer = this.#takeAnswer()
      if (answer !== null) return answer
      if (this.ended !== 'no') throw new Error(`the connection ended (${this.ended}) after ${JSON.stringify(this.#text)}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Resolves when the other side has ended the connection. */
  async untilEnded(): Promise<'fin' | 'reset'> {
    while (this.ended === 'no') {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.ended
  }

  close(): void {
    this.socket.destroy()
    this.#onEnded('fin')
  }

  #onEnded(how: 'fin' | 'reset'): void {
    if (this.ended === 'no') this.ended = how
    this.#wake()
  }

  #takeAnswer(): Answer | null {
    const end = this.#text.indexOf('\r\n\r\n')
    if (end === -1) return null
    const head = this.#text.slice(0, end)
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    if (this.#text.length < end + 4 + length) return null
    const body = this.#text.slice(end + 4, end + 4 + length)
    this.#text = this.#text.slice(end + 4 + length)
    return { status: Number(head.slice(9, 12)), head, body }
  }
}
