import dgram from 'node:dgram'
import type { TimerWheel } from '../base/timers.ts'
import type { TcpContext } from '../proxy/tcp-runtime.ts'
import { UdpFlows } from '../proxy/udp-flows.ts'
import type { UdpRuntime } from '../proxy/udp-runtime.ts'
import type { BoundListener } from './bound-listener.ts'
import { DrainLimit } from './drain-limit.ts'

export interface UdpListenerOptions {
  readonly runtime: UdpRuntime
  readonly tcp: TcpContext
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly worker: number
  readonly workers: number
}

/** Where several workers can have a socket each, the kernel sends all datagrams of one client to one of them. */
export const CAN_SHARE_UDP_PORT = process.platform === 'linux' && hasReusePort(process.versions.node)

/** Node.js has `reusePort` for datagrams since 23.1. */
export function hasReusePort(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 23 || (major === 23 && minor >= 1)
}

/** Room for what comes while the worker does something else. The kernel allows less when it is told to. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024
/** What may wait in the listening socket while its send buffer is full. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024
/** How long the end of a listener waits for replies that are due. */
const REPLY_GRACE_MS = 1000
const LOOK_EVERY_MS = 20

/** One bound address whose datagrams are passed on to a service, in one worker. */
export class UdpListener implements BoundListener {
  readonly #options: UdpListenerOptions
  readonly #flows: UdpFlows
  /** Without a shared port, one worker has the socket and the others none. */
  readonly #isActive: boolean
  #socket: dgram.Socket | null = null
  #stopped: Promise<void> | null = null

  constructor(options: UdpListenerOptions) {
    this.#options = options
    this.#isActive = CAN_SHARE_UDP_PORT || options.worker === 0
    this.#flows = new UdpFlows({
      runtime: options.runtime,
      context: options.tcp,
      shares: CAN_SHARE_UDP_PORT ? options.workers : 1,
      reply: (bytes, port, address) => this.#reply(bytes, port, address),
    })
  }

  get runtime(): UdpRuntime {
    return this.#flows.runtime
  }

  use(runtime: UdpRuntime): void {
    this.#flows.use(runtime)
  }

  async listen(host: string, port: number): Promise<number> {
    if (!this.#isActive) return port
    if (host !== '') return this.#bind(host.includes(':') ? 'udp6' : 'udp4', host, port)
    try {
      return await this.#bind('udp6', '::', port)
    } catch (error) {
      // A machine without IPv6.
      if ((error as NodeJS.ErrnoException).code !== 'EAFNOSUPPORT' && (error as NodeJS.ErrnoException).code !== 'EADDRNOTAVAIL') throw error
      return this.#bind('udp4', '0.0.0.0', port)
    }
  }

  #bind(type: 'udp4' | 'udp6', address: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = dgram.createSocket({ type, reusePort: CAN_SHARE_UDP_PORT })
      socket.once('error', (error) => {
        socket.close()
        reject(error)
      })
      socket.bind({ address, port, exclusive: true }, () => {
        socket.removeAllListeners('error')
        // What becomes of one datagram (no route to a client, no memory) is not the end of the listener.
        socket.on('error', () => this.runtime.metrics.dropped('send-failed'))
        socket.on('message', (bytes, source) => this.#flows.receive(bytes, source))
        try {
          socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES)
        } catch {
          // As large as the system makes it, then.
        }
        this.#socket = socket
        resolve(socket.address().port)
      })
    })
  }

  #reply(bytes: Buffer, port: number, address: string): boolean {
    const socket = this.#socket
    if (socket === null) return false
    if (socket.getSendQueueSize() > MAX_QUEUED_BYTES) {
      this.runtime.metrics.dropped('queue-full')
      return false
    }
    socket.send(bytes, port, address)
    return true
  }

  /** Replies leave through the listening socket, so it closes when those that are due have come, or a second has passed. */
  stopListening(): Promise<void> {
    this.#stopped ??= this.#stop(REPLY_GRACE_MS)
    return this.#stopped
  }

  drain(timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#stop(Math.min(timeoutMs, REPLY_GRACE_MS))
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    const { wheel, now } = this.#options
    const untilMs = now() + graceMs
    this.#flows.stop()
    while (this.#flows.isWaiting && now() < untilMs) {
      await new Promise<void>((resolve) => {
        wheel.arm(new DrainLimit(resolve), now() + LOOK_EVERY_MS)
      })
    }
    this.close()
  }

  close(): void {
    this.#flows.close()
    const socket = this.#socket
    this.#socket = null
    if (socket === null) return
    socket.removeAllListeners().on('error', () => undefined)
    socket.close()
  }
}
