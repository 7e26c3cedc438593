import { generateJsonSchema } from '../config/json-schema.ts'
import { parseArguments } from './arguments.ts'
import { type CommandIo, EXIT_OK } from './io.ts'

/** `sluice schema`: the JSON Schema, for editors and validators. */
export async function schemaCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  parseArguments(argv, {})
  io.stdout.write(generateJsonSchema())
  return EXIT_OK
}
