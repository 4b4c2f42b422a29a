/** Zip archives, by their central directory: any member at any time, several at once. */
import { readSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { promisify } from 'node:util'
import { crc32, inflateRaw } from 'node:zlib'
import { fromRandomAccessReaderPromise, getFileNameLowLevel, RandomAccessReader, type Entry } from 'yauzl'
import { ImmiscibleError } from '../../errors.ts'
import { statPath } from '../files.ts'
import { checkMemberBytes, memberName, refuseMember, type ArchiveOptions, type Member } from './member.ts'

export interface Zip extends AsyncDisposable {
  /** Files only, in the order of the directory; each name once. */
  readonly members: readonly Member[]
  /** Checked against size and CRC-32. Throws a DATASET error that names archive and member. */
  read(name: string): Promise<Uint8Array>
  /** Names have no checksum, but each is there twice: `read` compares the two, and this does for all members. Throws as `read` does. */
  checkNames(): Promise<void>
}

interface Stored extends Member {
  readonly entry: Entry
}

const STORED = 0
const DEFLATED = 8
/** Deflate cannot do better (zlib's own figure): who declares more lies. */
const MAX_RATIO = 1032
const LOCAL_HEADER_BYTES = 30
/** Signatures of what may follow the directory: its end, that of zip64, a digital signature. */
const AFTER_DIRECTORY = [0x06054b50, 0x06064b50, 0x05054b50]

/** Throws a DATASET error for what is no zip archive, or an unsafe one: names that lead out of it, links, encryption, overlapping members. */
export async function openZip(path: string, options: ArchiveOptions = {}): Promise<Zip> {
  const fileBytes = statPath(path).size
  let file: FileHandle | undefined
  try {
    file = await open(path)
    const members = await readDirectory(path, file, fileBytes)
    checkOverlap(path, members, fileBytes)
    const byName = new Map(members.map((member) => [member.name, member]))
    const opened = file
    return {
      members: members.map(({ name, bytes }) => ({ name, bytes })),
      async read(name) {
        const member = byName.get(name)
        if (!member) return refuseMember(path, name, 'expected a member of the archive, got nothing there')
        checkMemberBytes(path, member, options)
        return readMember(path, opened, member)
      },
      async checkNames() {
        for (const { name, entry } of members) {
          const header = Buffer.alloc(LOCAL_HEADER_BYTES + entry.fileNameLength)
          await opened.read(header, 0, header.length, entry.relativeOffsetOfLocalHeader)
          checkHeader(path, name, entry, header)
        }
      },
      [Symbol.asyncDispose]: () => opened.close(),
    }
  } catch (cause) {
    await file?.close()
    if (cause instanceof ImmiscibleError) throw cause
    throw new ImmiscibleError('DATASET', `${path}: expected a zip archive: ${(cause as Error).message}`, { cause })
  }
}

async function readDirectory(path: string, file: FileHandle, fileBytes: number): Promise<Stored[]> {
  const reader = new WindowReader(file.fd, fileBytes)
  const zip = await fromRandomAccessReaderPromise(reader, fileBytes, { autoClose: false, decodeStrings: false })
  // A number, whatever the types say.
  let end = zip.readEntryCursor as unknown as number
  const members = new Map<string, Stored>()
  for await (const entry of zip.eachEntry()) {
    end += 46 + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength
    const raw = getFileNameLowLevel(entry.generalPurposeBitFlag, entry.fileNameRaw, entry.extraFields, true)
    const name = memberName(path, raw)
    checkEntry(path, name, entry)
    if (raw.endsWith('/')) continue
    if (members.has(name)) refuseMember(path, name, 'expected one member of this name, got two')
    members.set(name, { name, bytes: entry.uncompressedSize, entry })
  }
  const signature = Buffer.alloc(4)
  reader.read(signature, 0, 4, end, (error) => {
    if (error) throw error
  })
  if (!AFTER_DIRECTORY.includes(signature.readUInt32LE())) throw new Error(`expected ${zip.entryCount} members, got more`)
  return [...members.values()]
}

function checkEntry(path: string, name: string, entry: Entry): void {
  const kind = (entry.externalFileAttributes >>> 16) & 0o170000
  if (![0, 0o100000, 0o040000].includes(kind)) refuseMember(path, name, 'expected a file or folder, got a link or device')
  if (entry.isEncrypted()) refuseMember(path, name, 'expected no encryption')
  const { compressionMethod, compressedSize, uncompressedSize } = entry
  if (![STORED, DEFLATED].includes(compressionMethod)) {
    refuseMember(path, name, `expected a stored or deflated member, got compression method ${compressionMethod}`)
  }
  if (uncompressedSize > compressedSize * MAX_RATIO) {
    refuseMember(path, name, `expected at most ${compressedSize * MAX_RATIO} bytes from ${compressedSize}, got ${uncompressedSize}`)
  }
}

/** Members that share bytes are how a small file becomes a large bomb. */
function checkOverlap(path: string, members: readonly Stored[], fileBytes: number): void {
  const ordered = members.toSorted((a, b) => a.entry.relativeOffsetOfLocalHeader - b.entry.relativeOffsetOfLocalHeader)
  for (const [at, { name, entry }] of ordered.entries()) {
    const end = entry.relativeOffsetOfLocalHeader + LOCAL_HEADER_BYTES + entry.fileNameLength + entry.compressedSize
    const next = ordered[at + 1]?.entry.relativeOffsetOfLocalHeader ?? fileBytes
    if (end > next) refuseMember(path, name, `expected it to end before byte ${next}, got ${end}`)
  }
}

async function readMember(path: string, file: FileHandle, { name, bytes, entry }: Stored): Promise<Uint8Array> {
  const start = entry.relativeOffsetOfLocalHeader
  // The extra field of the local header has a length of its own: guessed, so that one read is mostly enough.
  const guess = Buffer.alloc(LOCAL_HEADER_BYTES + entry.fileNameLength + entry.extraFieldLength + entry.compressedSize)
  const { bytesRead } = await file.read(guess, 0, guess.length, start)
  checkHeader(path, name, entry, guess)
  const nameEnd = LOCAL_HEADER_BYTES + entry.fileNameLength
  const dataStart = nameEnd + guess.readUInt16LE(28)
  let data = guess.subarray(dataStart, dataStart + entry.compressedSize)
  if (dataStart + entry.compressedSize > bytesRead) {
    data = Buffer.alloc(entry.compressedSize)
    const { bytesRead: again } = await file.read(data, 0, data.length, start + dataStart)
    if (again < data.length) refuseMember(path, name, `expected ${data.length} compressed bytes, got ${again}: the archive is truncated`)
  }
  const content = entry.compressionMethod === STORED ? data : await inflate(path, name, data, bytes)
  if (content.length !== bytes) refuseMember(path, name, `expected ${bytes} bytes, got ${content.length}`)
  const actual = crc32(content)
  if (actual !== entry.crc32) refuseMember(path, name, `expected CRC-32 ${entry.crc32}, got ${actual}`)
  return content
}

function checkHeader(path: string, name: string, entry: Entry, header: Buffer): void {
  const ownName = header.subarray(LOCAL_HEADER_BYTES, LOCAL_HEADER_BYTES + entry.fileNameLength)
  const isOwn =
    header.readUInt32LE(0) === 0x04034b50 && header.readUInt16LE(26) === entry.fileNameLength && ownName.equals(entry.fileNameRaw)
  if (!isOwn) refuseMember(path, name, 'expected its own header in front of it, got another')
}

async function inflate(path: string, name: string, data: Buffer, bytes: number): Promise<Buffer> {
  try {
    return await promisify(inflateRaw)(data, {
      maxOutputLength: Math.max(1, bytes),
      chunkSize: Math.min(Math.max(bytes, 2 ** 10), 2 ** 22),
    })
  } catch (cause) {
    const isLonger = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    const got = isLonger ? 'more' : `what cannot be inflated: ${(cause as Error).message}`
    return refuseMember(path, name, `expected ${bytes} bytes, got ${got}`, cause)
  }
}

/** The directory is read in pieces of a few dozen bytes: from memory, not from the file, and never past its end. */
class WindowReader extends RandomAccessReader {
  readonly #fd: number
  readonly #size: number
  #window: Buffer = Buffer.alloc(0)
  #start = 0

  constructor(fd: number, size: number) {
    super()
    this.#fd = fd
    this.#size = size
  }

  override read(out: Buffer, offset: number, length: number, position: number, callback: (error: Error | null) => void): void {
    if (!(position >= 0 && position + length <= this.#size)) {
      callback(new Error(`it ends after ${this.#size} bytes, before what it should hold: truncated?`))
      return
    }
    if (position < this.#start || position + length > this.#start + this.#window.length) {
      const window = Buffer.alloc(Math.min(Math.max(length, 2 ** 20), this.#size - position))
      this.#window = window.subarray(0, readSync(this.#fd, window, 0, window.length, position))
      this.#start = position
    }
    const copied = this.#window.copy(out, offset, position - this.#start, position - this.#start + length)
    callback(copied < length ? new Error(`it ends after ${position + copied} bytes, while it was read`) : null)
  }
}
