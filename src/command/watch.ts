import { createHash } from 'node:crypto'
import { type FSWatcher, type Stats, watch as watchFolder } from 'node:fs'
import { readFile, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface WatchOptions {
  /** Absolute paths. */
  files: readonly string[]
  /** Called when the content of at least one file is no longer what it was at the start or at the call before. */
  onChange(): void
  /** Quiet time after an event of the file system, so that several writes are one change. Default 100 ms. */
  debounceMs?: number
  /** The files are also read this often, for file systems that tell nothing (network, overlay). Default 5 s. */
  pollMs?: number
}

export interface FileWatch {
  /** Watches these files from now on. A file that is new here counts as unchanged until it changes. */
  setFiles(files: readonly string[]): void
  /** Resolves when the files have been read since the last `setFiles`: every later change will be told. */
  settled(): Promise<void>
  close(): void
}

/** Instead of a hash, for a file that has not been there yet. */
const MISSING = ''

interface WatchedFolder {
  watcher: FSWatcher
  /** A folder that was removed and made again is another one, and its old watcher is deaf. */
  identity: string | null
}

/**
 * Watches files by their content. What is watched are the folders, of each file and of what it links to, because a file is often
 * replaced by a rename (editors) or lies behind a link that is switched (Kubernetes swaps `..data`). A file that is missing for a
 * moment is no change.
 */
export function watchFiles(options: WatchOptions): FileWatch {
  return new ContentWatch(options)
}

class ContentWatch implements FileWatch {
  readonly #onChange: () => void
  readonly #debounceMs: number
  readonly #poll: NodeJS.Timeout
  readonly #folders = new Map<string, WatchedFolder>()
  readonly #hashes = new Map<string, string>()
  #files: readonly string[] = []
  #debounce: NodeJS.Timeout | null = null
  /** One look at the files at a time, in order. */
  #work: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor({ files, onChange, debounceMs = 100, pollMs = 5000 }: WatchOptions) {
    this.#onChange = onChange
    this.#debounceMs = debounceMs
    this.#poll = setInterval(() => this.#enqueue(), pollMs)
    this.#poll.unref()
    this.setFiles(files)
  }

  setFiles(files: readonly string[]): void {
    this.#work = this.#work.then(async () => {
      this.#files = [...new Set(files)]
      for (const known of this.#hashes.keys()) if (!this.#files.includes(known)) this.#hashes.delete(known)
    })
    this.#enqueue()
  }

  settled(): Promise<void> {
    return this.#work
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#poll)
    if (this.#debounce !== null) clearTimeout(this.#debounce)
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #onEvent(): void {
    if (this.#isClosed) return
    if (this.#debounce !== null) clearTimeout(this.#debounce)
    this.#debounce = setTimeout(() => this.#enqueue(), this.#debounceMs)
  }

  #enqueue(): void {
    this.#work = this.#work.then(() => this.#look())
  }

  /** Folders first, then contents: a change after the reading raises an event of a folder that is watched by then. */
  async #look(): Promise<void> {
    if (this.#isClosed) return
    await this.#updateFolders()
    let hasChanged = false
    for (const file of this.#files) {
      const hash = await hashFile(file)
      const known = this.#hashes.get(file)
      if (known === undefined) this.#hashes.set(file, hash ?? MISSING)
      else if (hash !== null && hash !== known) {
        this.#hashes.set(file, hash)
        hasChanged = true
      }
    }
    if (hasChanged && !this.#isClosed) this.#onChange()
  }

  async #updateFolders(): Promise<void> {
    const wanted = new Set<string>()
    for (const file of this.#files) {
      wanted.add(dirname(file))
      const target = await realpath(file).catch(() => file)
      wanted.add(dirname(target))
    }
    for (const [folder, { watcher }] of this.#folders) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const folder of wanted) await this.#updateFolder(folder)
  }

  async #updateFolder(folder: string): Promise<void> {
    const identity = await stat(folder).then(identify, () => null)
    const watched = this.#folders.get(folder)
    if (this.#isClosed || watched?.identity === identity) return
    watched?.watcher.close()
    this.#folders.delete(folder)
    if (identity === null) return
    try {
      const watcher = watchFolder(folder, { persistent: false }, () => this.#onEvent())
      // Without a watcher (no more to be had, folder gone) the poll goes on.
      watcher.on('error', () => watcher.close())
      this.#folders.set(folder, { watcher, identity })
    } catch {
      // The poll goes on here too.
    }
  }
}

/** The number alone would not do: it is given to the next folder as soon as it is free. */
function identify({ ino, birthtimeMs }: Stats): string {
  return `${ino} ${birthtimeMs}`
}

/** null when the file cannot be read now. */
async function hashFile(file: string): Promise<string | null> {
  try {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('base64')
  } catch {
    return null
  }
}
