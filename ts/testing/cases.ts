/** The pools that a strategy is tried on: sizes off every vector width, pixels and floats, ties of all kinds, with labels and without. */
import type { Matrix, PoolContext } from '../assignment/assignment.ts'
import { threadKernel } from '../kernel/simd/simd.ts'

/** Values around each array that nobody may change. */
const GUARD = 16
const GUARD_VALUE = 99
const SEED = 20_240_617
const STREAM = 0xd2
const NUM_CLASSES = 3

export interface Case {
  readonly name: string
  readonly pool: PoolContext
  readonly images: Matrix
  readonly noise: Matrix
  /** As a strategy gets it: -1 everywhere. */
  readonly noiseIndex: Int32Array
  /** Of what was written besides `noiseIndex`, the first; undefined where nothing was. */
  findWrite(): string | undefined
}

type Content =
  | 'pixels'
  | 'floats'
  | 'black pixels'
  | 'zeros'
  | 'the same image again and again'
  | 'every image twice'
  | 'the same noise again and again'

const SHAPES = [
  [1, 1],
  [1, 19],
  [2, 3],
  [5, 8],
  [16, 32],
  [23, 37],
] as const
const CONTENTS: readonly Content[] = [
  'pixels',
  'floats',
  'black pixels',
  'zeros',
  'the same image again and again',
  'every image twice',
  'the same noise again and again',
]

/** Every shape with every content, without labels first where that is allowed. */
export function allCases(candidatesPerImage: number, needsLabels: boolean): Case[] {
  return SHAPES.flatMap(([rows, dims]) =>
    CONTENTS.flatMap((content) =>
      (needsLabels ? [true] : [false, true]).map((hasLabels) => makeCase({ rows, dims, content, hasLabels, candidatesPerImage })),
    ),
  )
}

/** rows x dims standard normal numbers. */
export function normals(key: number, rows: number, dims: number): Float32Array<ArrayBuffer> {
  const keys = BigUint64Array.from({ length: rows }, (_, row) => BigInt(key + row))
  const out = new Float32Array(rows * dims)
  threadKernel().normal(SEED, STREAM, keys, dims, out)
  return out
}

interface CaseOptions {
  readonly rows: number
  readonly dims: number
  readonly content: Content
  readonly hasLabels: boolean
  readonly candidatesPerImage: number
}

function makeCase({ rows, dims, content, hasLabels, candidatesPerImage }: CaseOptions): Case {
  const values = normals(1_000_000 * rows + dims, rows, dims)
  if (content === 'the same image again and again') for (let row = 1; row < rows; row++) values.copyWithin(row * dims, 0, dims)
  if (content === 'every image twice') for (let row = 1; row < rows; row += 2) values.copyWithin(row * dims, (row - 1) * dims, row * dims)
  const noise = normals(7_000_000 * rows + dims, rows * candidatesPerImage, dims)
  if (content === 'the same noise again and again') for (let at = dims; at < noise.length; at += dims) noise.copyWithin(at, 0, dims)
  const floats = content === 'zeros' ? values.fill(0) : values
  const isFloat = content === 'floats' || content === 'zeros'
  const data = isFloat ? floats : content === 'black pixels' ? new Int8Array(rows * dims).fill(-128) : toPixels(values)
  const labels = hasLabels ? Int32Array.from({ length: rows }, (_, row) => (row * row) % NUM_CLASSES) : undefined
  const name = `${rows} x ${dims}, ${content}, ${hasLabels ? 'with' : 'without'} labels`
  return assembleCase(name, data, noise, dims, labels)
}

/** A case of these numbers. int8 images are pixels. */
export function assembleCase(
  name: string,
  imageData: Int8Array | Float32Array,
  noiseData: Float32Array,
  dims: number,
  labels?: Int32Array,
): Case {
  const rows = imageData.length / dims
  const [imageGuard, noiseGuard] = [guard(imageData), guard(noiseData)]
  const indexGuard = guard(new Int32Array(rows).fill(-1))
  const sampleGuard = guard(Int32Array.from({ length: rows }, (_, row) => 3 * row + 1))
  const flipGuard = guard(Uint8Array.from({ length: rows }, (_, row) => row % 2))
  const labelGuard = labels && guard(labels)
  const units = imageData instanceof Int8Array ? { scale: 1 / 127.5, offset: 0.5 / 127.5 } : { scale: 1, offset: 0 }
  const pool = Object.freeze({
    epoch: 2,
    firstStep: 12,
    firstSample: 384,
    sampleIndices: sampleGuard.array,
    flips: flipGuard.array,
    ...(labelGuard && { labels: labelGuard.array }),
  })
  return {
    name,
    pool,
    images: Object.freeze({ data: imageGuard.array, rows, dims, ...units }),
    noise: Object.freeze({ data: noiseGuard.array, rows: noiseData.length / dims, dims, scale: 1, offset: 0 }),
    noiseIndex: indexGuard.array,
    findWrite() {
      const inputs = {
        images: imageGuard,
        noise: noiseGuard,
        'pool.sampleIndices': sampleGuard,
        'pool.flips': flipGuard,
        'pool.labels': labelGuard,
      }
      const written = Object.entries(inputs).find(([, guarded]) => guarded?.isChanged())
      return written?.[0] ?? (indexGuard.isOverrun() ? 'what lies around noiseIndex' : undefined)
    },
  }
}

export function toPixels(values: Float32Array): Int8Array<ArrayBuffer> {
  return Int8Array.from(values, (value) => Math.max(-128, Math.min(127, Math.round(50 * value))))
}

interface Guarded<A> {
  readonly array: A
  /** Whether anything of the array, or around it, is other than at first. */
  isChanged(): boolean
  /** Whether anything around it is. */
  isOverrun(): boolean
}

/** A copy in the middle of a larger array. */
function guard<A extends Int8Array | Uint8Array | Int32Array | Float32Array>(values: A): Guarded<A> {
  const { length } = values
  const whole = new (values.constructor as new (length: number) => A)(length + 2 * GUARD).fill(GUARD_VALUE) as A
  whole.set(values, GUARD)
  const before = whole.slice()
  const differs = (from: number, to: number): boolean => before.subarray(from, to).some((value, at) => !Object.is(value, whole[from + at]))
  return {
    array: whole.subarray(GUARD, GUARD + length) as A,
    isChanged: () => differs(0, whole.length),
    isOverrun: () => differs(0, GUARD) || differs(GUARD + length, whole.length),
  }
}
