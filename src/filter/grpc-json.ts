import { isGrpcContentType } from '../codec/grpc/fields.ts'
import type { GrpcJsonFilterConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import type { Transcoder } from './grpc-json-transcoder.ts'

/** What the filter needs of the worker. */
export interface GrpcJsonEnvironment {
  /** What stands in a file of the configuration, in base64. */
  readonly descriptors: (path: string) => string
  readonly onDefect: (error: unknown, where: string) => void
}

/**
 * `grpc-json`: lets clients of JSON over HTTP call gRPC services. gRPC and gRPC-Web requests pass untouched. The library that knows
 * protobuf is loaded when there is such a filter; until it is there, requests wait.
 */
export function createGrpcJsonFilter(config: GrpcJsonFilterConfig, env: GrpcJsonEnvironment): Filter {
  let transcoder: Transcoder | null = null
  const descriptors = Buffer.from(env.descriptors(config.descriptors), 'base64')
  const loading = import('./grpc-json-transcoder.ts').then((module) => {
    transcoder = module.createTranscoder({ config, descriptors })
    return transcoder
  })
  loading.catch((error: unknown) => env.onDefect(error, `grpc-json with ${config.descriptors}`))
  return {
    name: 'grpc-json',
    onRequest(x: Exchange): void | Promise<void> {
      const type = x.request.headers.get('content-type')
      if (x.grpc !== null || isGrpcContentType(type) || type?.startsWith('application/grpc-web') === true) return
      return transcoder === null ? loading.then((loaded) => loaded.request(x)) : transcoder.request(x)
    },
    onResponse: (x) => transcoder?.response(x),
    onFinish: null,
  }
}
