/** The descriptor files of `grpc-json` filters: read, compiled for a check, and summed up in the configuration. */
import { createHash } from 'node:crypto'
import type { RawIssue } from './issues.ts'
import type { ConfigPath } from './problem.ts'
import type { TlsFiles, TlsFilesInput } from './tls-files.ts'
import type { GatewayConfig } from './types.ts'

export interface DescriptorFilesInput extends Pick<TlsFilesInput, 'resolve' | 'readFailure'> {
  readonly readBytes: ((path: string) => Promise<Uint8Array>) | null
}

const KIND = 'grpc-json'

/** Reads every file that a `grpc-json` of the plain data names into `files` (in base64), and says what is wrong with it. */
export async function readDescriptorFiles(raw: unknown, files: TlsFiles, input: DescriptorFilesInput): Promise<void> {
  for (const { at, value } of findFilters(raw)) {
    const { descriptors: written, services } = value
    if (typeof written !== 'string' || written === '' || written.includes('\0')) continue
    const path = input.resolve(written)
    if (!files.paths.includes(path)) files.paths.push(path)
    let bytes: Uint8Array
    try {
      bytes = await read(input, path)
    } catch (reason) {
      say(files.issues, [...at, 'descriptors'], `the file ${JSON.stringify(written)} ${input.readFailure(reason)}`)
      continue
    }
    ;(files.texts as Record<string, string>)[path] = Buffer.from(bytes).toString('base64')
    await check(files.issues, at, written, bytes, services)
  }
}

function read({ readBytes }: DescriptorFilesInput, path: string): Promise<Uint8Array> {
  return readBytes === null ? Promise.reject(new Error('files of descriptors are not read here')) : readBytes(path)
}

async function check(issues: RawIssue[], at: ConfigPath, written: string, bytes: Uint8Array, services: unknown): Promise<void> {
  // The library that knows protobuf takes a while to load, and few configurations need it.
  const { compileDescriptors, DescriptorError, UnknownServiceError } = await import('../codec/transcode/bindings.ts')
  const names =
    Array.isArray(services) && services.every((name) => typeof name === 'string' && /^[\w.]+$/.test(name)) ? (services as string[]) : null
  try {
    compileDescriptors(bytes, names)
  } catch (error) {
    if (!(error instanceof DescriptorError)) throw error
    const part = error instanceof UnknownServiceError && names !== null ? ['services', names.indexOf(error.service)] : ['descriptors']
    say(issues, [...at, ...part], `the file ${JSON.stringify(written)} ${error.message}`)
  }
}

function say(issues: RawIssue[], path: ConfigPath, message: string): void {
  issues.push({ path, part: 'value', message })
}

type RawMap = Record<string, unknown>

function asMap(value: unknown): RawMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RawMap) : {}
}

function* findFilters(raw: unknown): Generator<{ at: ConfigPath; value: RawMap }> {
  const config = asMap(raw)
  for (const [name, route] of Object.entries(asMap(config['routes'])))
    yield* filtersOf(['routes', name, 'filters'], asMap(route)['filters'])
  for (const [name, policy] of Object.entries(asMap(config['policies']))) yield* filtersOf(['policies', name], policy)
}

function* filtersOf(at: ConfigPath, list: unknown): Generator<{ at: ConfigPath; value: RawMap }> {
  if (!Array.isArray(list)) return
  for (const [index, filter] of list.entries()) {
    const value = asMap(filter)[KIND]
    if (value !== undefined) yield { at: [...at, index, KIND], value: asMap(value) }
  }
}

/** Puts the absolute path of each file into the configuration, and a digest of what is in it. */
export function completeDescriptors(config: GatewayConfig, { texts, resolve }: TlsFiles): void {
  for (const route of Object.values(config.routes)) {
    for (const filter of route.filters) {
      if (filter.kind !== KIND || filter.descriptors === null) continue
      filter.descriptors = resolve(filter.descriptors)
      filter.revision = createHash('sha256')
        .update(texts[filter.descriptors] ?? '')
        .digest('base64url')
        .slice(0, 22)
    }
  }
}
