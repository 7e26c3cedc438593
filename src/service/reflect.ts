import type { TlsTexts } from '../config/tls-types.ts'
import type { ServiceConfig } from '../config/types.ts'

/** What a service says of itself (reflection.ts, which is loaded only when somebody asks). `names`: of gRPC services; null: all. */
export async function reflectService(
  config: ServiceConfig | undefined,
  texts: TlsTexts,
  names: readonly string[] | null,
): Promise<Uint8Array> {
  if (config === undefined) throw new Error('the route has no service')
  const { reflectDescriptors } = await import('./reflection.ts')
  return reflectDescriptors(config, texts, names)
}
