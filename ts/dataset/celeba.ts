/** CelebA (Liu, Luo, Wang and Tang, 2015): aligned and cropped faces, 178x218, with the partition and the attributes of their text files. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatasetConfig } from '../../protocol/index.ts'
import { downloadsFolder } from '../cache-folder.ts'
import { openZip } from './archive/zip.ts'
import { fetchedPath, fileIdentity, refuseFile, statPath } from './files.ts'
import type { ImageDecoder } from './image/decode.ts'
import { byCodePoints } from './image/listing.ts'
import { decodeInOrder, type ImageChunk } from './image/many.ts'
import { createThreadedDecoder } from './image/threads.ts'
import type { DatasetSource } from './source.ts'

type CelebaConfig = Extract<DatasetConfig, { kind: 'celeba' }>
type Split = CelebaConfig['split']

const FOLDER = 'img_align_celeba'
const PARTITION = 'list_eval_partition.txt'
const ATTRIBUTES = 'list_attr_celeba.txt'
const SIZE = { width: 178, height: 218 }
/** As the partition file has them. */
const SPLITS: Readonly<Record<Exclude<Split, 'all'>, string>> = { train: '0', valid: '1', test: '2' }
const PUBLISHED: Readonly<Record<Split, number>> = { train: 162_770, valid: 19_867, test: 19_962, all: 202_599 }

/** A folder of images, or the zip that holds it. */
interface Images extends AsyncDisposable {
  /** As 000001.jpg. */
  readonly names: ReadonlySet<string>
  /** For errors. */
  describe(name: string): string
  read(name: string): Promise<Uint8Array>
}

/**
 * The middle square of `centerCrop`, as torchvision's CenterCrop takes it (178: from row 20; 140: from column 19 and row 39), resized. With an
 * attribute, class 1 has it. The text files are needed for a split, or for an attribute.
 *
 * A folder of images is known by its own time alone, not by those of 202,599 files: an image rewritten in place is not seen.
 *
 * Throws a DATASET error that names the file that is not there, or not what it should be.
 */
export function openCeleba(config: CelebaConfig): DatasetSource {
  const { split, centerCrop, resolution, resizeFilter, attribute } = config
  const path = config.path ?? fetchedPath(downloadsFolder('celeba'), 'celeba')
  const [folder, zip] = [join(path, FOLDER), join(path, `${FOLDER}.zip`)]
  const isFolder = existsSync(folder)
  if (!isFolder && !existsSync(zip)) refuseFile(path, `a folder with ${FOLDER} (folder or zip)`, 'neither')
  const images = isFolder ? folder : zip
  const open = (): Promise<Images> => (isFolder ? openFolder(folder) : openZipped(zip))
  const texts = [...(split === 'all' ? [] : [PARTITION]), ...(attribute === null ? [] : [ATTRIBUTES])]
  const options = [resolution, centerCrop !== SIZE.width && `crop${centerCrop}`, split !== 'train' && split, attribute]
  return {
    name: ['celeba', ...options]
      .filter(Boolean)
      .join('-')
      .replaceAll(/[^A-Za-z0-9-]+/g, '-'),
    source: path,
    licence: 'non-commercial research only; Liu, Luo, Wang and Tang, Deep Learning Face Attributes in the Wild, 2015',
    identity: {
      version: 1,
      kind: 'celeba',
      split,
      centerCrop,
      resolution,
      resizeFilter,
      attribute,
      images: isFolder ? { modifiedAt: statPath(folder).mtimeMs } : fileIdentity(zip),
      files: texts.map((name) => fileIdentity(join(path, name))),
    },
    async decode({ signal }) {
      const partition = split === 'all' ? undefined : await readPartition(join(path, PARTITION), split)
      const labels = attribute === null ? undefined : await readAttribute(join(path, ATTRIBUTES), attribute)
      const present = await listNames(open)
      const names = partition ?? [...(labels?.keys() ?? present)].toSorted(byCodePoints)
      for (const name of names) {
        if (!present.has(name)) refuseFile(images, `${name}, which is listed`, `${present.size} other images`)
        if (labels && !labels.has(name)) refuseFile(join(path, ATTRIBUTES), `a line for ${name}`, 'none')
      }
      const decoder = createThreadedDecoder({ resolution, color: 'rgb', resizeFilter, centerCrop, size: SIZE })
      const note = names.length === PUBLISHED[split] ? [] : [`${names.length} images: as published there are ${PUBLISHED[split]}`]
      return {
        imageShape: [3, resolution, resolution],
        classNames: attribute === null ? [] : [`not ${attribute}`, attribute],
        numImages: names.length,
        chunks: decodeAll(open, names, labels, decoder, signal),
        notes: () => [...note, ...decoder.notes()],
      }
    },
  }
}

async function* decodeAll(
  open: () => Promise<Images>,
  names: readonly string[],
  labels: ReadonlyMap<string, number> | undefined,
  decoder: ImageDecoder,
  signal: AbortSignal | undefined,
): AsyncGenerator<ImageChunk> {
  await using images = await open()
  const items = names.map((name) => ({ name: images.describe(name), label: labels?.get(name), bytes: () => images.read(name) }))
  yield* decodeInOrder(items, decoder, signal)
}

async function listNames(open: () => Promise<Images>): Promise<ReadonlySet<string>> {
  await using images = await open()
  return images.names
}

async function openFolder(folder: string): Promise<Images> {
  const names = (await readdir(folder)).filter(isImage)
  const describe = (name: string): string => join(folder, name)
  return { names: new Set(names), describe, read: (name) => readBytes(describe(name)), [Symbol.asyncDispose]: async () => undefined }
}

async function openZipped(path: string): Promise<Images> {
  const zip = await openZip(path)
  const prefix = `${FOLDER}/`
  const members = zip.members.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length))
  return {
    names: new Set(members.filter(isImage)),
    describe: (name) => `${path}: ${prefix}${name}`,
    read: (name) => zip.read(prefix + name),
    [Symbol.asyncDispose]: () => zip[Symbol.asyncDispose](),
  }
}

/** Flat, as the text files name them: nothing that leads elsewhere. */
function isImage(name: string): boolean {
  return /^[\w-]+\.(jpg|png)$/.test(name)
}

/** In the order of the file. */
async function readPartition(path: string, split: Exclude<Split, 'all'>): Promise<string[]> {
  const rows = (await readLines(path)).map(({ line, number }) => {
    const [name, part, ...rest] = line.split(/\s+/)
    if (!Object.values(SPLITS).includes(part) || rest.length > 0)
      refuseFile(path, 'lines of an image and 0, 1 or 2', `line ${number}: ${line.slice(0, 80)}`)
    return { name, part }
  })
  const names = rows.filter(({ part }) => part === SPLITS[split]).map(({ name }) => name)
  return names.length > 0 ? names : refuseFile(path, `images of the ${split} split`, 'none')
}

/** 1 where it holds, else 0, by image. */
async function readAttribute(path: string, attribute: string): Promise<ReadonlyMap<string, number>> {
  const [count, header, ...rows] = await readLines(path)
  const known = header?.line.split(/\s+/) ?? []
  if (!/^\d+$/.test(count?.line ?? '') || Number(count.line) !== rows.length) {
    refuseFile(
      path,
      'the number of images, the names of the attributes, and a line for each image',
      `${rows.length} lines of images, not ${count?.line.slice(0, 80)}`,
    )
  }
  const column = known.indexOf(attribute)
  if (column < 0) refuseFile(path, `one of its attributes (${known.join(', ')})`, attribute)
  return new Map(
    rows.map(({ line, number }) => {
      const [name, ...values] = line.split(/\s+/)
      const value = values[column]
      if (values.length !== known.length || !['1', '-1'].includes(value)) {
        refuseFile(path, `lines of an image and ${known.length} times 1 or -1`, `line ${number}: ${line.slice(0, 80)}`)
      }
      return [name, value === '1' ? 1 : 0]
    }),
  )
}

async function readLines(path: string): Promise<{ readonly line: string; readonly number: number }[]> {
  const text = Buffer.from(await readBytes(path)).toString('utf8')
  return text
    .split('\n')
    .map((line, at) => ({ line: line.trim(), number: at + 1 }))
    .filter(({ line }) => line !== '')
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    return refuseFile(path, 'a file', `an error: ${(cause as Error).message}`, cause)
  }
}
