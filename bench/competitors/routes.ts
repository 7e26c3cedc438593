/** The path prefixes of a setup with that many routes: `/r00000`, `/r00001`, ... All of one length, so that paths cost the same. */
export function routePrefixes(routes: number): string[] {
  return Array.from({ length: routes }, (_, route) => `/r${String(route).padStart(5, '0')}`)
}
