/** The run folder's disk: one operation at a time, what a crash keeps and what a power cut does not, space that ends. */
import type { Random } from './world.ts'

export class DiskError extends Error {}

interface File {
  content: string
  /** Its bytes are all there and right. */
  isWhole: boolean
  isSynced: boolean
}

/** The files of a checkpoint by name. */
type Folder = Map<string, File>

export interface Disk {
  isFull: boolean
  /** generation.json: written durably before a worker is launched. */
  nextGeneration: number
  names(): string[]
  exists(name: string): boolean
  /** Whether a folder can be renamed to it: nothing is there, or an empty folder. */
  isFree(name: string): boolean
  makeFolder(name: string): void
  /** The file is there, its bytes are not yet. */
  beginFile(folder: string, file: string): void
  endFile(folder: string, file: string, content: string): void
  syncFile(folder: string, file: string): void
  rename(from: string, to: string): void
  removeFile(folder: string, file: string): void
  removeFolder(name: string): void
  files(folder: string): string[]
  /** Its content; undefined where it is missing or torn. */
  read(folder: string, file: string): string | undefined
  /** The names in the run folder are on the disk from now on. */
  syncNames(): void
  /** A bit of this file is another one now. */
  damage(folder: string, file: string): void
  /** What was not synced may be gone: of the names from some change on, of the files their bytes. */
  cutPower(): void
}

export function createDisk(random: Random): Disk {
  let names = new Map<string, Folder>()
  let durable = new Map<string, Folder>()
  let changes: ((names: Map<string, Folder>) => void)[] = []

  function change(apply: (names: Map<string, Folder>) => void): void {
    apply(names)
    changes.push(apply)
  }

  function folderOf(name: string): Folder {
    const folder = names.get(name)
    if (!folder) throw new DiskError(`${name}: no such folder`)
    return folder
  }

  function fileOf(folder: string, name: string): File {
    const file = folderOf(folder).get(name)
    if (!file) throw new DiskError(`${folder}/${name}: no such file`)
    return file
  }

  function expectSpace(): void {
    if (disk.isFull) throw new DiskError('no space left on device')
  }

  const disk: Disk = {
    isFull: false,
    nextGeneration: 0,
    names: () => [...names.keys()],
    exists: (name) => names.has(name),
    isFree: (name) => (names.get(name)?.size ?? 0) === 0,
    makeFolder(name) {
      expectSpace()
      if (names.has(name)) throw new DiskError(`${name}: is there already`)
      const folder: Folder = new Map()
      change((all) => all.set(name, folder))
    },
    beginFile(folder, name) {
      expectSpace()
      folderOf(folder).set(name, { content: '', isWhole: false, isSynced: false })
    },
    endFile(folder, name, content) {
      expectSpace()
      Object.assign(fileOf(folder, name), { content, isWhole: true })
    },
    syncFile(folder, name) {
      fileOf(folder, name).isSynced = true
    },
    rename(from, to) {
      const folder = folderOf(from)
      if (!disk.isFree(to)) throw new DiskError(`${to}: directory not empty`)
      change((all) => {
        all.delete(from)
        all.set(to, folder)
      })
    },
    removeFile(folder, name) {
      fileOf(folder, name)
      folderOf(folder).delete(name)
    },
    removeFolder(name) {
      if (folderOf(name).size > 0) throw new DiskError(`${name}: directory not empty`)
      change((all) => all.delete(name))
    },
    files: (folder) => [...folderOf(folder).keys()],
    read(folder, name) {
      const file = names.get(folder)?.get(name)
      return file?.isWhole ? file.content : undefined
    },
    syncNames() {
      durable = new Map(names)
      changes = []
    },
    damage(folder, name) {
      fileOf(folder, name).isWhole = false
    },
    cutPower() {
      names = durable
      for (const apply of changes.slice(0, random.below(changes.length + 1))) apply(names)
      for (const folder of names.values()) {
        for (const file of folder.values()) if (!file.isSynced && random.chance(0.7)) file.isWhole = false
      }
      disk.syncNames()
    },
  }
  return disk
}
