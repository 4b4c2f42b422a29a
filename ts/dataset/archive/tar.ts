/** Tar archives, plain or gzip, in their own order: one member in memory at a time. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { Transform, type Readable, type TransformCallback } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { extract, type Header } from 'tar-stream'
import { ImmiscibleError } from '../../errors.ts'
import { statPath } from '../files.ts'
import { checkMemberBytes, memberName, refuseMember, type ArchiveOptions, type Member } from './member.ts'

export interface TarOptions extends ArchiveOptions {
  /** Others are skipped unread, whatever their size. Default: all. */
  readonly wants?: (name: string) => boolean
  readonly signal?: AbortSignal | undefined
}

export interface TarMember extends Member {
  readonly data: Uint8Array
}

/** By their first bytes. */
const NOT_READ = { bzip2: /^BZh[1-9]1A/, xz: /^\xfd7zXZ/, zstd: /^\x28\xb5\x2f\xfd/ }
const BLOCK = 512
/** Read and decompressed at a time. */
const CHUNK_BYTES = 2 ** 18

/** Files only, in the order of the archive. Throws a DATASET error for what is no tar archive, a truncated or an unsafe one: names that lead out of it, links, devices. */
export async function* readTar(path: string, options: TarOptions = {}): AsyncGenerator<TarMember> {
  for await (const { data, ...member } of walk(path, options)) if (data) yield { ...member, data }
}

/** What is in it; everything is passed over, and decompressed for that. Throws as `readTar` does. */
export async function listTar(path: string, options: Pick<TarOptions, 'signal'> = {}): Promise<readonly Member[]> {
  const members: Member[] = []
  for await (const { name, bytes } of walk(path, { ...options, wants: () => false })) members.push({ name, bytes })
  return members
}

async function* walk(path: string, options: TarOptions): AsyncGenerator<Member & { readonly data: Uint8Array | undefined }> {
  const { wants = () => true, signal } = options
  const isGzip = await checkCompression(path)
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES, ...(signal && { signal }) })
  const ending = watchEnd()
  const stages = [file, ...(isGzip ? [createGunzip({ chunkSize: CHUNK_BYTES })] : []), ending.stage]
  const archive = extract()
  for (const stage of stages) stage.on('error', (error: Error) => archive.destroy(error))
  stages
    .slice(1)
    .reduce<Readable>((source, stage) => source.pipe(stage as Transform), file)
    .pipe(archive)
  try {
    const seen = new Set<string>()
    for await (const entry of archive) {
      const member = checkHeader(path, entry.header)
      if (member && seen.has(member.name)) refuseMember(path, member.name, 'expected one member of this name, got two')
      if (member) seen.add(member.name)
      const isWanted = member && wants(member.name)
      if (isWanted) checkMemberBytes(path, member, options)
      if (!isWanted) entry.resume()
      if (member) yield { ...member, data: isWanted ? await collect(path, member, entry as AsyncIterable<Uint8Array>) : undefined }
    }
    if (!ending.isZero()) throw new Error('expected blocks of zeros at its end: truncated?')
  } catch (cause) {
    if (cause instanceof ImmiscibleError || signal?.aborted) throw cause
    throw new ImmiscibleError('DATASET', `${path}: expected a tar archive, plain or gzip: ${(cause as Error).message}`, { cause })
  } finally {
    for (const stage of stages) stage.destroy()
    archive.destroy()
  }
}

async function collect(path: string, { name, bytes }: Member, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const data = new Uint8Array(bytes)
  let at = 0
  for await (const chunk of chunks) {
    data.set(chunk, at)
    at += chunk.length
  }
  if (at !== bytes) refuseMember(path, name, `expected ${bytes} bytes, got ${at}: truncated?`)
  return data
}

/** undefined for a folder. */
function checkHeader(path: string, { name: raw, type, size, pax }: Header): Member | undefined {
  const name = memberName(path, raw)
  if (type === 'directory') return undefined
  const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse'))
  if (!['file', 'contiguous-file'].includes(type) || isSparse) {
    refuseMember(path, name, `expected a file or folder, got ${isSparse ? 'a sparse file' : (type ?? 'an unknown type')}`)
  }
  return { name, bytes: size }
}

/** Whether it is gzip. */
async function checkCompression(path: string): Promise<boolean> {
  statPath(path)
  await using file = await open(path)
  const { bytesRead, buffer } = await file.read(Buffer.alloc(6), 0, 6, 0)
  const magic = buffer.toString('latin1', 0, bytesRead)
  for (const [name, pattern] of Object.entries(NOT_READ)) {
    if (pattern.test(magic)) throw new ImmiscibleError('DATASET', `${path}: expected a tar archive, plain or gzip: ${name} is not read`)
  }
  return magic.startsWith('\x1f\x8b')
}

/** An archive that was cut off between two members lacks nothing but the zeros at its end. */
function watchEnd(): { stage: Transform; isZero: () => boolean } {
  let tail: Buffer = Buffer.alloc(0)
  const stage = new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      tail = chunk.length >= BLOCK ? chunk.subarray(-BLOCK) : Buffer.concat([tail, chunk]).subarray(-BLOCK)
      done(null, chunk)
    },
  })
  return { stage, isZero: () => tail.length === BLOCK && tail.every((byte) => byte === 0) }
}
