import { registerHooks } from 'node:module'

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
/** What `package.json` exports to configurations, as files of the program that runs. */
const OWN: ReadonlyMap<string, string> = new Map([
  ['sluice', new URL(`../index.${EXTENSION}`, import.meta.url).href],
  ['sluice/tcp', new URL(`../tcp.${EXTENSION}`, import.meta.url).href],
])

let isDone = false

/**
 * Lets a configuration import 'sluice' where no such package is installed beside it, also in a checkout that was never built: it gets the
 * one that runs. Once for each thread, before the first configuration is imported.
 */
export function provideOwnPackage(): void {
  if (isDone) return
  isDone = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const own = OWN.get(specifier)
      if (own === undefined) return nextResolve(specifier, context)
      try {
        return nextResolve(specifier, context)
      } catch {
        return { url: own, shortCircuit: true }
      }
    },
  })
}
