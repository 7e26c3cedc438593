import type { ProxySetup } from '../types.ts'

/** For programs that are here for HTTP/1.1 alone. */
export function onlyHttp1({ downstream, upstream }: ProxySetup): string | null {
  return downstream === 'http1' && upstream === 'http1' ? null : 'it is set up for plain HTTP/1.1 only'
}
