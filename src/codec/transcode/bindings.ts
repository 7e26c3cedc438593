import {
  createFileRegistry,
  type DescExtension,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
  getExtension,
  hasExtension,
  type Message,
} from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { findField, resolveField } from './fields.ts'
import { PathTable } from './path-table.ts'
import { type PathTemplate, parsePathTemplate, TemplateError, type TemplateVariable } from './path-template.ts'

/** One method of a service. */
export interface MethodPlan {
  /** `/pkg.Service/Method` */
  readonly path: string
  readonly service: string
  readonly name: string
  readonly input: DescMessage
  readonly output: DescMessage
  readonly isClientStreaming: boolean
  readonly isServerStreaming: boolean
}

/** One way to call a method over HTTP (google.api.HttpRule). */
export interface Binding {
  readonly method: MethodPlan
  /** `*`: every one. */
  readonly httpMethod: string
  readonly template: PathTemplate
  readonly variables: readonly { readonly variable: TemplateVariable; readonly way: readonly DescField[] }[]
  /** What the body is: the message, one field of it, or nothing. */
  readonly body: '*' | DescField | null
  /** The field that is the response; null: all of it. */
  readonly responseBody: DescField | null
}

export interface Transcoding {
  readonly registry: FileRegistry
  readonly table: PathTable<Binding>
  readonly bindings: readonly Binding[]
}

/** What is wrong with descriptors. */
export class DescriptorError extends Error {}

/** A service that was asked for is not in them. */
export class UnknownServiceError extends DescriptorError {
  readonly service: string

  constructor(service: string, all: readonly string[]) {
    super(`has no service ${service}; it has ${all.join(', ')}`)
    this.service = service
  }
}

const HTTP_OPTION = 'google.api.http'

interface HttpRule extends Message {
  pattern: { case: string | undefined; value?: unknown }
  body: string
  responseBody: string
  additionalBindings: HttpRule[]
}

/** Compiles a FileDescriptorSet. `services`: full names; null: all there are. Throws DescriptorError. */
export function compileDescriptors(bytes: Uint8Array, services: readonly string[] | null): Transcoding {
  return compileRegistry(readRegistry(bytes), services)
}

function readRegistry(bytes: Uint8Array): FileRegistry {
  let set: ReturnType<typeof fromBinary<typeof FileDescriptorSetSchema>>
  try {
    set = fromBinary(FileDescriptorSetSchema, bytes)
  } catch {
    throw new DescriptorError('is not a FileDescriptorSet; make it with protoc --include_imports --descriptor_set_out')
  }
  if (set.file.length === 0) throw new DescriptorError('holds no descriptors; make it with protoc --include_imports --descriptor_set_out')
  const names = new Set(set.file.map((file) => file.name))
  for (const file of set.file) {
    const missing = file.dependency.find((name) => !names.has(name))
    if (missing !== undefined)
      throw new DescriptorError(`lacks ${missing}, which ${file.name} imports; make it with protoc --include_imports`)
  }
  try {
    return createFileRegistry(set)
  } catch (error) {
    throw new DescriptorError(`cannot be used: ${(error as Error).message}`)
  }
}

export function compileRegistry(registry: FileRegistry, services: readonly string[] | null): Transcoding {
  const option = registry.getExtension(HTTP_OPTION)
  const table = new PathTable<Binding>()
  const bindings: Binding[] = []
  for (const service of selectServices(registry, services)) {
    for (const method of service.methods) {
      for (const binding of bindingsOf(method, option)) {
        if (!table.add(binding.httpMethod, binding.template, binding))
          throw new DescriptorError(
            `binds ${binding.httpMethod} ${binding.template.text} twice; the second is of ${service.typeName}.${method.name}`,
          )
        bindings.push(binding)
      }
    }
  }
  return { registry, table, bindings }
}

function selectServices(registry: FileRegistry, names: readonly string[] | null): DescService[] {
  const all: DescService[] = []
  for (const type of registry) if (type.kind === 'service') all.push(type)
  if (all.length === 0) throw new DescriptorError('describes no service')
  if (names === null) return all
  return names.map((name) => {
    const service = registry.getService(name)
    if (service !== undefined) return service
    throw new UnknownServiceError(
      name,
      all.map(({ typeName }) => typeName),
    )
  })
}

function bindingsOf(method: DescMethod, option: DescExtension | undefined): Binding[] {
  const plan: MethodPlan = {
    path: `/${method.parent.typeName}/${method.name}`,
    service: method.parent.typeName,
    name: method.name,
    input: method.input,
    output: method.output,
    isClientStreaming: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    isServerStreaming: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
  }
  const options = method.proto.options
  if (option === undefined || options === undefined || !hasExtension(options, option)) return [plainBinding(plan)]
  const rule = getExtension(options, option) as HttpRule
  return [rule, ...rule.additionalBindings].map((one) => bindingOf(plan, one))
}

/** Without a rule: POST to the path of gRPC, the body being the message. */
function plainBinding(method: MethodPlan): Binding {
  const template = parsePathTemplate(method.path)
  return { method, httpMethod: 'POST', template, variables: [], body: '*', responseBody: null }
}

function bindingOf(method: MethodPlan, rule: HttpRule): Binding {
  const where = `${method.service}.${method.name}`
  const { httpMethod, path } = patternOf(rule, where)
  let template: PathTemplate
  try {
    template = parsePathTemplate(path)
  } catch (error) {
    if (error instanceof TemplateError) throw new DescriptorError(`has a path template for ${where} that cannot be used: ${error.message}`)
    throw error
  }
  const variables = template.variables.map((variable) => {
    const way = resolveField(method.input, variable.field)
    if (typeof way === 'string') throw new DescriptorError(`has a path template for ${where} that cannot be used: ${way}`)
    if (way.at(-1)?.fieldKind === 'list')
      throw new DescriptorError(`has a path template for ${where} that cannot be used: ${variable.field} is repeated`)
    return { variable, way }
  })
  return {
    method,
    httpMethod,
    template,
    variables,
    body: rule.body === '*' ? '*' : fieldOf(method.input, rule.body, `the body of ${where}`),
    responseBody: fieldOf(method.output, rule.responseBody, `the response body of ${where}`),
  }
}

function patternOf({ pattern }: HttpRule, where: string): { httpMethod: string; path: string } {
  if (pattern.case === 'custom') {
    const { kind, path } = pattern.value as { kind: string; path: string }
    return { httpMethod: kind.toUpperCase(), path }
  }
  if (pattern.case === undefined) throw new DescriptorError(`has a rule for ${where} without a path`)
  return { httpMethod: pattern.case.toUpperCase(), path: pattern.value as string }
}

function fieldOf(message: DescMessage, name: string, where: string): DescField | null {
  if (name === '') return null
  const field = findField(message, name)
  if (field === undefined) throw new DescriptorError(`names ${name} as ${where}, which ${message.typeName} does not have`)
  return field
}
