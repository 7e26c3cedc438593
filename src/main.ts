// The program `sluice`, started by bin/sluice: gives the command line what it needs of this process, and ends with its exit code.
import { runCommandLine } from './command/commands.ts'
import type { CommandIo, TextSink } from './command/io.ts'

const noColor = (process.env['NO_COLOR'] ?? '') !== ''

function createSink(stream: NodeJS.WriteStream): TextSink {
  // Who reads us may go away first, as in `sluice schema | head`; what is written then has no reader.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  return { write: (text) => void stream.write(text), hasColors: stream.isTTY === true && !noColor }
}

const io: CommandIo = {
  stdout: createSink(process.stdout),
  stderr: createSink(process.stderr),
  env: process.env,
  cwd: process.cwd(),
  onSignal(name, handler) {
    process.on(name, handler)
    return () => process.off(name, handler)
  },
  onUncaught(handler) {
    process.on('uncaughtException', handler)
    process.on('unhandledRejection', handler)
    return () => {
      process.off('uncaughtException', handler)
      process.off('unhandledRejection', handler)
    }
  },
  exit: (code) => process.exit(code),
}

const code = await runCommandLine(process.argv.slice(2), io)
// Not process.exitCode: whatever a command left open must not keep the process, and the output is complete before it ends.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
