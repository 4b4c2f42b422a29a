/** Arrays of NumPy and PyTorch: pixels, or latents of an autoencoder, with their labels; npy, npz and safetensors. */
import { basename } from 'node:path'
import { describeArray, type ArrayFile, type ArrayImages, type ArraysConfig, type FileArray } from './array-file.ts'
import { readNumbers } from './dtype.ts'
import { fileIdentity, refuseFile } from './files.ts'
import { latentsOf } from './latents.ts'
import { openNpy, openNpz } from './npy.ts'
import { openSafetensors } from './safetensors.ts'
import type { Chunk, DatasetSource } from './source.ts'

const IMAGE_NAMES = ['images', 'x', 'x_train', 'arr_0', 'mean']
const LABEL_NAMES = ['labels', 'y', 'y_train', 'arr_1']
const READERS: Readonly<Record<string, (path: string) => Promise<ArrayFile>>> = { npy: openNpy, npz: openNpz, safetensors: openSafetensors }
/** Decoded at a time. */
const CHUNK_BYTES = 2 ** 22
const MAX_IMAGE_BYTES = 2 ** 28
const MAX_CLASSES = 100_000

/** Where its file is not there, or not what it should be: a DATASET error that names the file and the array. */
export function openArrays(config: ArraysConfig): DatasetSource {
  const { path, images, labels, layout, scalingFactor, posterior } = config
  const labelsFile = labels?.endsWith('.npy') ? labels : undefined
  const options = { images, labels: labelsFile ? null : labels, layout, scalingFactor, posterior }
  const extension = extensionOf(path)
  if (!Object.hasOwn(READERS, extension)) refuseFile(path, 'an npy, npz or safetensors file', `'.${extension}'`)
  return {
    name: basename(path, `.${extension}`).replaceAll(/[^\w.-]/g, '_'),
    source: path,
    licence: "the file's own",
    identity: { version: 1, options, files: [fileIdentity(path), ...(labelsFile ? [fileIdentity(labelsFile)] : [])] },
    async decode() {
      const file = await READERS[extension](path)
      const name =
        pick(path, file.names, images, IMAGE_NAMES) ??
        refuseFile(path, `an array ${IMAGE_NAMES.join(', ')}, or dataset.images`, describeNames(file))
      const array = await file.open(name)
      const decoded = ['f', 'bf'].includes(array.dtype.kind) ? await latentsOf(file, name, array, config) : pixelsOf(array, config)
      const { readRows, array: _, ...decoding } = decoded
      const labelArray = await findLabels(file, name, labelsFile, config)
      const numbers = labelArray && (await readLabels(labelArray, array.shape[0]))
      const numClasses = numbers ? numbers.reduce((most, label) => Math.max(most, label), 0) + 1 : 0
      return {
        ...decoding,
        classNames: Array.from({ length: numClasses }, (_value, label) => String(label)),
        chunks: chunksOf(decoded, numbers),
      }
    },
  }
}

function extensionOf(path: string): string {
  return /\.([^.]*)$/.exec(basename(path))?.[1].toLowerCase() ?? ''
}

/** The one asked for, or the first that is there. */
function pick(path: string, names: readonly string[], wanted: string | null, usual: readonly string[]): string | undefined {
  if (wanted !== null && !names.includes(wanted)) refuseFile(path, `an array '${wanted}'`, describeNames({ names }))
  return wanted ?? [...usual, ''].find((name) => names.includes(name))
}

function describeNames({ names }: Pick<ArrayFile, 'names'>): string {
  return names.length > 0
    ? names
        .map((name) => `'${name}'`)
        .slice(0, 20)
        .join(', ')
    : 'none'
}

async function findLabels(
  file: ArrayFile,
  images: string,
  labelsFile: string | undefined,
  config: ArraysConfig,
): Promise<FileArray | undefined> {
  if (labelsFile) return (await openNpy(labelsFile)).open('')
  const others = file.names.filter((name) => name !== images)
  const name = pick(config.path, others, config.labels, LABEL_NAMES)
  return name === undefined ? undefined : file.open(name)
}

/** [N] or [N, 1], of integers. */
async function readLabels(array: FileArray, numImages: number): Promise<Float64Array> {
  const { path, shape, dtype } = array
  const isList = shape[0] === numImages && shape.slice(1).every((side) => side === 1)
  if (!['u', 'i'].includes(dtype.kind) || !isList) refuseFile(path, `labels: integers [${numImages}]`, describeArray(array))
  const numbers = readNumbers(await array.readRows(0, numImages), dtype)
  const wrong = numbers.findIndex((label) => label < 0 || label >= MAX_CLASSES)
  if (wrong >= 0) refuseFile(path, `labels 0 to ${MAX_CLASSES - 1}`, `${numbers[wrong]} of image ${wrong}`)
  return numbers
}

function pixelsOf(array: FileArray, { layout, scalingFactor }: ArraysConfig): ArrayImages {
  const { path, shape, dtype } = array
  if (dtype.kind !== 'u' || dtype.bytes !== 1)
    refuseFile(path, 'uint8 pixels, or float16, bfloat16 or float32 latents', describeArray(array))
  if (scalingFactor !== null) refuseFile(path, 'float latents, for dataset.scalingFactor', describeArray(array))
  if (shape.length < 3 || shape.length > 4) refuseFile(path, 'images [N, H, W], [N, H, W, C] or [N, C, H, W]', describeArray(array))
  const numImages = shape[0]
  if (shape.length === 3) return { array, imageShape: [1, shape[1], shape[2]], numImages, readRows: array.readRows }
  if (channelsFirst(array, layout)) return { array, imageShape: [shape[1], shape[2], shape[3]], numImages, readRows: array.readRows }
  const [, height, width, channels] = shape
  const readRows = async (first: number, count: number) => toPlanes(await array.readRows(first, count), height * width, channels)
  return { array, imageShape: [channels, height, width], numImages, readRows }
}

function channelsFirst(array: FileArray, layout: ArraysConfig['layout']): boolean {
  if (layout !== 'auto') return layout === 'nchw'
  const [isFirst, isLast] = [array.shape[1], array.shape[3]].map((side) => side === 1 || side === 3)
  if (isFirst === isLast) refuseFile(array.path, `one axis of 1 or 3 channels, or dataset.layout 'nchw' or 'nhwc'`, describeArray(array))
  return isFirst
}

/** From pixel after pixel to channel after channel. */
function toPlanes(data: Uint8Array, numPixels: number, channels: number): Uint8Array {
  const planes = new Uint8Array(data.length)
  const imageBytes = numPixels * channels
  for (let image = 0; image < data.length; image += imageBytes) {
    for (let channel = 0; channel < channels; channel++) {
      const plane = image + channel * numPixels
      for (let pixel = 0; pixel < numPixels; pixel++) planes[plane + pixel] = data[image + pixel * channels + channel]
    }
  }
  return planes
}

async function* chunksOf({ array, imageShape, dtype, readRows }: ArrayImages, labels: Float64Array | undefined): AsyncGenerator<Chunk> {
  const imageBytes = imageShape.reduce((product, side) => product * side, dtype === 'float32' ? 4 : 1)
  if (imageBytes > MAX_IMAGE_BYTES) refuseFile(array.path, `images of at most ${MAX_IMAGE_BYTES} bytes`, describeArray(array))
  const numImages = array.shape[0]
  const step = Math.max(1, Math.floor(CHUNK_BYTES / imageBytes))
  for (let first = 0; first < numImages; first += step) {
    const count = Math.min(step, numImages - first)
    const data = await readRows(first, count)
    yield labels ? { data, labels: labels.subarray(first, first + count) } : { data }
  }
}
