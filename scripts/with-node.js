// Runs a TypeScript script of this repository under a Node.js that can: `node scripts/with-node.js scripts/test.ts args...`.
// npm puts the bundled Node.js first on the PATH; this is for the machine where that package is missing, and says so.
import { resolve } from 'node:path'
import { runScript } from '../bin/launch.js'

await runScript(resolve(process.argv[2]), process.argv.slice(3))
