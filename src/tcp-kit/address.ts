/** The parts of `host:port`, `[v6]:port`, `:port` or `port`; host null is every address. Throws RangeError for anything else. */
export function parseListenAddress(address: string): { host: string | null; port: number } {
  const match = /^(?:(?:\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|([^[\]:\s]*)):)?(\d{1,5})$/.exec(address)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) throw new RangeError(`${JSON.stringify(address)} is not host:port, [v6]:port or :port`)
  return { host: match[1] ?? (match[2] || null), port }
}
