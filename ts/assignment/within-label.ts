/**
 * `within: 'label'`: each class is assigned by itself, so that p(noise | class) stays Gaussian. An assignment that is blind to labels shifts it by about half a
 * standard deviation along the direction of the class, and a conditional sampler starts from noise that knows nothing of that.
 */
import { ImmiscibleError } from '../errors.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentReport, AssignmentStrategy, Matrix, PoolContext } from './assignment.ts'
import { reassign } from './reassign.ts'

/** No row: what a strategy forgets to write is seen. */
const NOWHERE = -1

/**
 * For strategies that permute. Noise stays in the class whose images it was drawn for; a class with one image in the pool keeps its noise.
 * The dual gap is the largest of the parts': a sum of misses over a sum of gains is at most the largest ratio (mediant inequality). It bounds the
 * distance from the best assignment within labels.
 */
export function withinLabel(inner: AssignmentStrategy, kernel: Kernel = threadKernel()): AssignmentStrategy {
  if (inner.candidatesPerImage !== 1) {
    const message = `[assignment:${inner.name}] within: expected a strategy that permutes for 'label', got ${inner.candidatesPerImage} candidates per image`
    throw new ImmiscibleError('ASSIGNMENT', message)
  }
  return reassign(inner, (pool, images, noise, noiseIndex) => {
    if (!pool.labels) {
      throw new ImmiscibleError(
        'ASSIGNMENT',
        `[assignment:${inner.name}] labels: expected one for each image for within: 'label', got none`,
      )
    }
    const reports: AssignmentReport[] = []
    for (const rows of rowsByLabel(pool.labels)) {
      if (rows.length === 1) {
        noiseIndex[rows[0]] = rows[0]
        continue
      }
      kernel.scope((arena) => {
        const partIndex = new Int32Array(rows.length).fill(NOWHERE)
        reports.push(inner.assign(part(pool, rows), pick(images, rows, arena), pick(noise, rows, arena), partIndex))
        partIndex.forEach((row, at) => (noiseIndex[rows[at]] = rows[row] ?? NOWHERE))
      })
    }
    return combine(inner, reports)
  })
}

/** Classes that were not solved have nothing to miss. */
function combine({ name }: AssignmentStrategy, reports: readonly AssignmentReport[]): AssignmentReport {
  const gaps = reports.map(({ dualGap }) => dualGap)
  const [noiseSign, ...others] = new Set(reports.map((report) => report.noiseSign))
  if (others.length > 0) {
    throw new ImmiscibleError('ASSIGNMENT', `[assignment:${name}] noiseSign: expected one for all labels of a pool, got both`)
  }
  return {
    ...(gaps.every((gap) => gap !== undefined) && { dualGap: Math.max(0, ...gaps) }),
    ...(noiseSign && { noiseSign }),
  }
}

/** The rows of each class, in rising order of both. */
function rowsByLabel(labels: Int32Array): Int32Array[] {
  const rows = new Map<number, number[]>()
  labels.forEach((label, row) => {
    const members = rows.get(label)
    if (members) members.push(row)
    else rows.set(label, [row])
  })
  return [...rows].toSorted(([a], [b]) => a - b).map(([, members]) => Int32Array.from(members))
}

function part({ labels, ...pool }: PoolContext, rows: Int32Array): PoolContext {
  return {
    ...pool,
    sampleIndices: rows.map((row) => pool.sampleIndices[row]),
    flips: Uint8Array.from(rows, (row) => pool.flips[row]),
    ...(labels && { labels: rows.map((row) => labels[row]) }),
  }
}

function pick(matrix: Matrix, rows: Int32Array, arena: Arena): Matrix {
  const { data, dims } = matrix
  const length = rows.length * dims
  const picked = data instanceof Int8Array ? arena.array(Int8Array, length) : arena.array(Float32Array, length)
  rows.forEach((row, at) => picked.set(data.subarray(row * dims, (row + 1) * dims), at * dims))
  return { ...matrix, data: picked, rows: rows.length }
}
