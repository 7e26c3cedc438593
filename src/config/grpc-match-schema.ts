/** `routes.<name>.match.grpc`: gRPC calls by service and method. */
import { z } from 'zod'
import { strict, text } from './schema-kit.ts'
import type { PathMatchConfig, ValueMatchConfig } from './types.ts'

const SERVICE_EXPECTED = 'expected the full name of a gRPC service, such as echo.Echo or package.Service'
const METHOD_EXPECTED = 'expected the name of a method, such as SayHello'
const IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*'
const SERVICE = new RegExp(`^${IDENTIFIER}(?:\\.${IDENTIFIER})*$`)
const METHOD = new RegExp(`^${IDENTIFIER}$`)

const serviceName = text(SERVICE_EXPECTED, (value) => (SERVICE.test(value) ? { value } : { problem: SERVICE_EXPECTED }))
const methodName = text(METHOD_EXPECTED, (value) => (METHOD.test(value) ? { value } : { problem: METHOD_EXPECTED }))

export const grpcMatch = z.union(
  [
    serviceName.transform((service) => ({ service, method: undefined as string | undefined })),
    strict({
      service: serviceName.describe('The full name of the service, with its package.'),
      method: methodName.optional().describe('One method of it. Without it: every method.'),
    }),
  ],
  { error: `${SERVICE_EXPECTED}, or { service, method }` },
)

/** A call is a POST to `/package.Service/Method`. */
export function pathOfCalls({ service, method }: { service: string; method?: string | undefined }): PathMatchConfig {
  return method === undefined ? { kind: 'template', template: `/${service}/*` } : { kind: 'exact', path: `/${service}/${method}` }
}

/** What tells a call from another request with the same path. */
export const GRPC_CONTENT_TYPE: ValueMatchConfig = { name: 'content-type', test: 'regex', pattern: '^application/grpc(?:[+; ].*)?$' }
