/** Latents in an array: what an autoencoder makes of images, their means and perhaps their standard deviations, scaled as the network sees them. */
import { describeArray, type ArrayFile, type ArrayImages, type ArraysConfig, type FileArray } from './array-file.ts'
import { readNumbers } from './dtype.ts'
import { refuseFile } from './files.ts'

/** After an array 'mean', in the order of the stored record; the mirror images are encoded for themselves. */
const PARTS = ['std', 'mean_mirrored', 'std_mirrored']

/** Of each image: mean, std, mirrored mean, mirrored std, as far as they are there and asked for. */
export async function latentsOf(file: ArrayFile, name: string, array: FileArray, config: ArraysConfig): Promise<ArrayImages> {
  const { shape } = array
  if (shape.length !== 4 || config.layout === 'nhwc')
    refuseFile(array.path, 'latents [N, C, H, W]', `${describeArray(array)}, layout ${config.layout}`)
  const scalingFactor = scalingFactorOf(array.path, file, config)
  const scale = Math.fround(scalingFactor)
  const isSampled = config.posterior === 'sample'
  const others = name === 'mean' ? PARTS.filter((part) => file.names.includes(part) && (isSampled || !part.startsWith('std'))) : []
  const [hasStd, hasMirrored] = [others.includes('std'), others.includes('mean_mirrored')]
  if (others.includes('std_mirrored') !== (hasStd && hasMirrored))
    refuseFile(array.path, 'a std for each mean, or for none', others.join(', '))
  const parts = [array, ...(await Promise.all(others.map(async (part) => file.open(part))))]
  const isStd = [false, ...others.map((part) => part.startsWith('std'))]
  for (const part of parts) {
    const isLike = part.shape.length === 4 && part.shape.every((side, axis) => side === shape[axis])
    if (!isLike || !['f', 'bf'].includes(part.dtype.kind) || part.dtype.bytes > 4) {
      refuseFile(part.path, `float16, bfloat16 or float32 latents [${shape.join(', ')}]`, describeArray(part))
    }
  }
  const size = shape[1] * shape[2] * shape[3]
  return {
    array,
    imageShape: [shape[1], shape[2], shape[3]],
    numImages: shape[0],
    dtype: 'float32',
    scalingFactor,
    hasStd,
    hasMirrored,
    async readRows(first, count) {
      const records = new Float32Array(count * size * parts.length)
      for (const [position, part] of parts.entries()) {
        const numbers = readNumbers(await part.readRows(first, count), part.dtype)
        const least = isStd[position] ? 0 : -Infinity
        for (let image = 0; image < count; image++) {
          const record = (image * parts.length + position) * size
          for (let at = 0; at < size; at++) {
            const value = Math.fround(numbers[image * size + at] * scale)
            if (!Number.isFinite(value) || value < least) {
              const expected = isStd[position] ? 'finite numbers from 0 on' : 'finite numbers'
              refuseFile(part.path, expected, `${numbers[image * size + at]} in image ${first + image}, number ${at}`)
            }
            records[record + at] = value
          }
        }
      }
      return new Uint8Array(records.buffer)
    },
  }
}

function scalingFactorOf(path: string, { metadata }: ArrayFile, { scalingFactor }: ArraysConfig): number {
  if (scalingFactor !== null) return scalingFactor
  const text = metadata['scaling_factor']
  const factor = Number(text)
  const expected =
    "the autoencoder's scaling factor for latents: set dataset.scalingFactor, or scaling_factor in the metadata of a safetensors file"
  return text?.trim() && Number.isFinite(factor) && factor > 0
    ? factor
    : refuseFile(path, expected, text === undefined ? 'neither' : `'${text}'`)
}
