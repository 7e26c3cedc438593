/** The filters `grpc-web` and `grpc-json`. */
import { z } from 'zod'
import { size, strict, text } from './schema-kit.ts'
import type { FilterConfig } from './types.ts'

const SERVICE_EXPECTED = 'expected the full name of a gRPC service such as helloworld.Greeter'
const serviceName = text(SERVICE_EXPECTED, (value) =>
  /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/.test(value) ? { value } : { problem: SERVICE_EXPECTED },
)
const PATH_EXPECTED = 'expected a path that starts with / such as /openapi.json'
const documentPath = text(PATH_EXPECTED, (value) =>
  /^\/[\x21-\x7e]*$/.test(value) && !/[?#]/.test(value) ? { value } : { problem: PATH_EXPECTED },
)

const DEFAULT_MESSAGE = '4MiB'
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024

export const grpcWebSchema = strict({}).transform((): FilterConfig => ({ kind: 'grpc-web' }))

export const grpcJsonSchema = strict({
  descriptors: z
    .string({ error: 'expected the path of a file' })
    .min(1)
    .optional()
    .describe('A file of descriptors, as `protoc --include_imports --descriptor_set_out=api.binpb` makes it. Relative to this file.'),
  reflection: z
    .literal(true, { error: 'expected true; left out, descriptors are read from a file' })
    .optional()
    .describe('Ask the service for its descriptors (gRPC server reflection), at the start and after a reload. Instead of `descriptors`.'),
  services: z
    .array(serviceName, { error: 'expected a list of gRPC services' })
    .min(1)
    .optional()
    .describe('The services that can be called, by full name. Left out: every one in the descriptors.'),
  ignoreUnknown: z
    .boolean()
    .default(false)
    .describe(
      'Take requests with fields or query parameters that the message does not have, without them. Otherwise they are refused with 400.',
    ),
  emitDefaults: z.boolean().default(false).describe('Write fields that have their default value in responses, too.'),
  maxMessage: size(1, MAX_MESSAGE_BYTES).prefault(DEFAULT_MESSAGE).describe('The largest message, as JSON or protobuf.'),
  openapi: documentPath.optional().describe('Serve an OpenAPI 3.1 document at this path. Left out: none.'),
}).transform((o, context): FilterConfig => {
  if (o.descriptors === undefined && o.reflection === undefined)
    context.addIssue({ code: 'custom', message: 'needs descriptors (a file), or reflection: true' })
  if (o.descriptors !== undefined && o.reflection !== undefined)
    context.addIssue({
      code: 'custom',
      message: 'reflection cannot stand beside descriptors; remove one',
      path: ['reflection'],
      params: { key: true },
    })
  return {
    kind: 'grpc-json',
    descriptors: o.descriptors ?? null,
    revision: '',
    services: o.services ?? null,
    ignoreUnknown: o.ignoreUnknown,
    emitDefaults: o.emitDefaults,
    maxMessageBytes: o.maxMessage,
    openapi: o.openapi ?? null,
  }
})
