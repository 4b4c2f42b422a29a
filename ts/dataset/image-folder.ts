/** Images of the user's own: a folder, zip or tar of PNG, JPEG and WebP files, with a sub-folder for each class or without. */
import { createHash } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { DatasetConfig } from '../../protocol/index.ts'
import { MAX_MEMBER_BYTES } from './archive/member.ts'
import { listTar, readTar } from './archive/tar.ts'
import { openZip } from './archive/zip.ts'
import { fileIdentity, refuseFile, statPath } from './files.ts'
import type { ImageDecoder } from './image/decode.ts'
import { listImages, type Listing } from './image/listing.ts'
import { decodeInOrder, peekShape, type EncodedImage, type ImageChunk } from './image/many.ts'
import { createThreadedDecoder } from './image/threads.ts'
import { walkFolder, type WalkedFile } from './image/walk.ts'
import type { DatasetSource } from './source.ts'

type ImageFolderConfig = Extract<DatasetConfig, { kind: 'image-folder' }>

/** What is where, and its images decoded, in the order of the listing or of the archive. */
interface Opened {
  readonly listing: Listing<{ readonly name: string }>
  decode(decoder: ImageDecoder, signal: AbortSignal | undefined): AsyncGenerator<ImageChunk>
}

/**
 * A folder is known by the names, sizes and times of its images, an archive by its own. Images of a folder or zip are in the order of classes, then
 * names, by code points; those of a tar in its own order. How images are decoded, and which are refused: `createDecoder`; what is an image, and
 * of which class: `listImages`; links: `walkFolder`. Throws a DATASET error that names the file.
 */
export function openImageFolder({ path, resolution, color, resizeFilter }: ImageFolderConfig): DatasetSource {
  const folder = statPath(path).isDirectory() ? openFolder(path) : undefined
  const stem = basename(path).replace(/\.(zip|tar|tar\.gz|tgz)$/i, '')
  const slug = stem.replaceAll(/[^A-Za-z0-9.]+/g, '-').replaceAll(/^[-.]+|[-.]+$/g, '')
  return {
    name: [slug || 'images', resolution ?? '', color === 'gray' ? 'gray' : ''].filter((part) => part !== '').join('-'),
    source: path,
    licence: 'none stated',
    identity: {
      version: 1,
      kind: 'image-folder',
      color,
      // Without a resolution nothing is resized.
      ...(resolution !== null && { resolution, resizeFilter }),
      files: folder ? folder.identity : fileIdentity(path),
    },
    async decode({ signal }) {
      const { listing, decode } = folder ?? ((await isZip(path)) ? await openZipped(path) : await openTarred(path, signal))
      const decoder = createThreadedDecoder({ resolution, color, resizeFilter })
      const peeked = await peekShape(decode(decoder, signal))
      if (!peeked) return refuseFile(path, 'images', 'none')
      return {
        imageShape: peeked.imageShape,
        classNames: listing.classNames,
        numImages: listing.images.length,
        chunks: peeked.chunks,
        notes: () => [...listing.notes, ...decoder.notes()],
      }
    },
  }
}

function openFolder(path: string): Opened & { readonly identity: { readonly numImages: number; readonly sha256: string } } {
  const { files, folders } = walkFolder(path)
  const listing = listImages<WalkedFile>(path, files, { folders })
  const lines = listing.images.map(({ file: { name, bytes, modifiedAt } }) => `${name}\0${bytes}\0${modifiedAt}\n`)
  return {
    identity: { numImages: lines.length, sha256: createHash('sha256').update(lines.join('')).digest('hex') },
    listing,
    decode: (decoder, signal) => decodeInOrder(readFolder(path, listing), decoder, signal),
  }
}

function* readFolder(path: string, { images }: Listing<WalkedFile>): Generator<EncodedImage> {
  for (const { file, label } of images) {
    const name = join(path, file.name)
    if (file.bytes > MAX_MEMBER_BYTES) refuseFile(name, `at most ${MAX_MEMBER_BYTES} bytes`, String(file.bytes))
    yield { name, label, bytes: () => readWhole(name) }
  }
}

async function readWhole(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    return refuseFile(path, 'an image', `an error: ${(cause as Error).message}`, cause)
  }
}

/** What is called one too, so that the error says what it is not. */
async function isZip(path: string): Promise<boolean> {
  await using file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
  return ['PK\x03\x04', 'PK\x05\x06'].includes(buffer.toString('latin1')) || /\.zip$/i.test(path)
}

async function openZipped(path: string): Promise<Opened> {
  await using zip = await openZip(path)
  const listing = listImages(path, zip.members, { isWrapped: true })
  return {
    listing,
    // Open until the last image is decoded, not only until the last is asked for.
    async *decode(decoder, signal) {
      await using reopened = await openZip(path)
      const items = listing.images.map(({ file, label }) => ({
        name: `${path}: ${file.name}`,
        label,
        bytes: () => reopened.read(file.name),
      }))
      yield* decodeInOrder(items, decoder, signal)
    },
  }
}

/** Gone through twice: for the classes, then for the images. */
async function openTarred(path: string, signal: AbortSignal | undefined): Promise<Opened> {
  const listing = listImages(path, await listTar(path, { signal }), { isWrapped: true })
  const labels = new Map(listing.images.map(({ file, label }) => [file.name, label]))
  return { listing, decode: (decoder, stop) => decodeInOrder(readImages(path, labels, stop), decoder, stop) }
}

async function* readImages(
  path: string,
  labels: ReadonlyMap<string, number | undefined>,
  signal: AbortSignal | undefined,
): AsyncGenerator<EncodedImage> {
  for await (const { name, data } of readTar(path, { wants: (member) => labels.has(member), signal })) {
    yield { name: `${path}: ${name}`, label: labels.get(name), bytes: data }
  }
}
