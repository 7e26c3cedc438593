/** Descriptor sets of the protos here, made by protoc. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requirePrograms } from '../../support/programs.ts'

const { protoc } = requirePrograms(['protoc'])
const FOLDER = join(import.meta.dirname, 'protos')

/** The bytes of a FileDescriptorSet. */
export function makeDescriptors(files: readonly string[], { imports = true, sourceInfo = false } = {}): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-protos-'))
  try {
    const out = join(folder, 'out.binpb')
    const flags = [...(imports ? ['--include_imports'] : []), ...(sourceInfo ? ['--include_source_info'] : [])]
    const { status, stderr } = spawnSync(protoc, [`-I${FOLDER}`, ...flags, '-o', out, ...files])
    if (status !== 0) throw new Error(`protoc: ${stderr.toString()}`)
    return readFileSync(out)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
