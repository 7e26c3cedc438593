import { GatewayError } from '../base/error.ts'
import { isGrpcContentType } from '../codec/grpc/fields.ts'
import type { GrpcJsonFilterConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import type { Transcoder } from './grpc-json-transcoder.ts'

/** What the filter needs of the worker. */
export interface GrpcJsonEnvironment {
  /** What stands in a file of the configuration, in base64. */
  readonly descriptors: (path: string) => string
  /** A FileDescriptorSet of what the service of the route says of itself. */
  readonly reflect: (services: readonly string[] | null) => Promise<Uint8Array>
  readonly onDefect: (error: unknown, where: string) => void
}

/** A service that could not be asked is asked again no sooner. */
const ASK_AGAIN_MS = 1000

/**
 * `grpc-json`: lets clients of JSON over HTTP call gRPC services. gRPC and gRPC-Web requests pass untouched. The library that knows
 * protobuf is loaded when there is such a filter; until it is there, and the descriptors are, requests wait.
 */
export function createGrpcJsonFilter(config: GrpcJsonFilterConfig, env: GrpcJsonEnvironment): Filter {
  const source = new TranscoderSource(config, env)
  // Nobody waits for this one.
  source.load(0).catch(() => {})
  return {
    name: 'grpc-json',
    onRequest(x: Exchange): void | Promise<void> {
      const type = x.request.headers.get('content-type')
      if (x.grpc !== null || isGrpcContentType(type) || type?.startsWith('application/grpc-web') === true) return
      const { transcoder } = source
      return transcoder === null
        ? source.load(x.startedMs).then((loaded) => (isOver(x) ? undefined : loaded.request(x)))
        : transcoder.request(x)
    },
    onResponse: (x) => source.transcoder?.response(x),
    onFinish: null,
  }
}

/** The exchange has ended, or is answered: its heads may be those of another one by now. */
function isOver(x: Exchange): boolean {
  return x.finished || x.local !== null
}

class TranscoderSource {
  /** null: not there yet. */
  transcoder: Transcoder | null = null
  readonly #config: GrpcJsonFilterConfig
  readonly #env: GrpcJsonEnvironment
  #loading: Promise<Transcoder> | null = null
  #hasFailed = false
  #askedMs = 0

  constructor(config: GrpcJsonFilterConfig, env: GrpcJsonEnvironment) {
    this.#config = config
    this.#env = env
  }

  load(nowMs: number): Promise<Transcoder> {
    if (this.#loading !== null && !(this.#hasFailed && nowMs - this.#askedMs >= ASK_AGAIN_MS)) return this.#loading
    this.#hasFailed = false
    this.#askedMs = nowMs
    const loading = this.#create()
    this.#loading = loading
    return loading
  }

  async #create(): Promise<Transcoder> {
    const config = this.#config
    const { descriptors: path } = config
    try {
      const descriptors = path === null ? await this.#env.reflect(config.services) : Buffer.from(this.#env.descriptors(path), 'base64')
      const { createTranscoder } = await import('./grpc-json-transcoder.ts')
      this.transcoder = createTranscoder({ config, descriptors })
      return this.transcoder
    } catch (error) {
      this.#hasFailed = true
      this.#env.onDefect(error, `grpc-json, which could not read ${path === null ? 'descriptors by reflection' : path}`)
      throw new GatewayError('connect_failed', 'the descriptors of the service could not be read', { cause: error })
    }
  }
}
