import { expect, test } from 'vitest'
import type { Matrix } from '../../../ts/assignment/assignment.ts'
import { findDirections } from '../../../ts/assignment/directions.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { datasetDirections } from '../../../ts/pipeline/dataset-directions.ts'
import { gaussian, identity } from '../../fixture/numbers.ts'
import { runPython } from '../../fixture/python.ts'
import { testConfig } from '../../fixture/config.ts'

const matrix = (data: Float32Array | Int8Array, dims: number): Matrix => ({ data, rows: data.length / dims, dims, scale: 1, offset: 0 })

/** Gaussian images whose variance falls to 40 % from each direction to the next, off the axes and off zero. */
function stretched(rows: number, dims: number): Float32Array {
  const [coordinates, axes] = [gaussian(1, rows, dims), gaussian(2, dims, dims)]
  const data = new Float32Array(rows * dims).fill(3)
  for (let row = 0; row < rows; row++) {
    for (let axis = 0; axis < dims; axis++) {
      const length = coordinates[row * dims + axis] * 0.4 ** (axis / 2)
      for (let d = 0; d < dims; d++) data[row * dims + d] += length * axes[axis * dims + d]
    }
  }
  return data
}

const rowsOf = (values: Float32Array, dims: number): Float32Array[] =>
  Array.from({ length: values.length / dims }, (_, row) => values.subarray(row * dims, (row + 1) * dims))
const dot = (a: Float32Array, b: ArrayLike<number>): number => a.reduce((sum, value, d) => sum + value * b[d], 0)

test("are those of NumPy's SVD, up to their sign", async () => {
  for (const [rows, dims] of [
    [200, 13],
    [10, 40],
  ] as const) {
    const data = stretched(rows, dims)
    const expected = await runPython<number[][]>(
      `
x = arrays[0].reshape(-1, args).astype(np.float64)
answer = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:4].tolist()
`,
      dims,
      [data],
    )
    const found = rowsOf(findDirections(matrix(data, dims), threadKernel()).principal, dims)
    found.forEach((direction, at) => expect(Math.abs(dot(direction, expected[at]))).toBeGreaterThan(0.999))
    // Control: the order matters, and a direction is not its neighbour.
    found.forEach((direction, at) => expect(Math.abs(dot(direction, expected[(at + 1) % 4]))).toBeLessThan(0.05))
  }
})

test('span what the top directions of the digits span', async () => {
  const digits = loadDigits()
  const pixels = new Uint8Array(digits.numImages * 64)
  for (let image = 0; image < digits.numImages; image++) digits.read(image, pixels, image * 64)
  const expected = await runPython<number[]>(
    `
x = arrays[0].reshape(-1, 64).astype(np.float64)
x -= x.mean(0)
answer = (np.linalg.svd(x, full_matrices=False)[1][:4] ** 2 / (x ** 2).sum()).tolist()
`,
    null,
    [pixels],
  )
  const mean = identity(64).reduce<number[]>(
    (means, d) => [...means, pixels.filter((_, at) => at % 64 === d).reduce((sum, value) => sum + value, 0) / digits.numImages],
    [],
  )
  const centred = Float32Array.from(pixels, (pixel, at) => pixel - mean[at % 64])
  const total = centred.reduce((sum, value) => sum + value ** 2, 0)
  const found = rowsOf(datasetDirections(digits).principal, 64)
  const shares = found.map((direction) => rowsOf(centred, 64).reduce((sum, row) => sum + dot(direction, row) ** 2, 0) / total)
  // From 1,024 of the 1,797 images: as much of the variance, within a few percent of it.
  shares.forEach((share, at) => expect(share).toBeCloseTo(expected[at], 1.5))
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0)
  expect(sum(shares)).toBeGreaterThan(0.97 * sum(expected))
})

test('are of unit length and orthogonal; int8 and scaled floats give the same', () => {
  const dims = 37
  const data = Int8Array.from(stretched(300, dims), (value) => Math.max(-128, Math.min(127, 8 * value)))
  const { principal } = findDirections(matrix(data, dims), threadKernel())
  const rows = rowsOf(principal, dims)
  expect(rows).toHaveLength(4)
  rows.forEach((a, i) => rows.forEach((b, j) => expect(dot(a, b)).toBeCloseTo(i === j ? 1 : 0, 5)))
  for (const scale of [1, 2 ** -60, 2 ** 60]) {
    const floats = Float32Array.from(data, (value) => value * scale)
    expect(findDirections(matrix(floats, dims), threadKernel()).principal).toEqual(principal)
  }
  expect(findDirections(matrix(data, dims), plainKernel).principal).toEqual(principal)
})

test('are as many as the images differ in', () => {
  const same = new Float32Array(8 * 5).fill(2)
  expect(findDirections(matrix(same, 5), threadKernel()).principal).toHaveLength(0)
  const line = Float32Array.from({ length: 8 * 5 }, (_, at) => Math.floor(at / 5) * ((at % 5) + 1))
  expect(findDirections(matrix(line, 5), threadKernel()).principal).toHaveLength(5)
  expect(findDirections(matrix(Float32Array.of(1, 2, 3), 1), threadKernel()).principal).toHaveLength(1)
})

test('of a class is its mean less the mean of all', () => {
  const data = Float32Array.of(0, 0, 0, 2, 4, 1, 4, 1)
  const labels = Int32Array.of(0, 0, 2, 2)
  const { classes } = findDirections(matrix(data, 2), threadKernel(), { labels, numClasses: 3 })
  // Means (0, 1), none, (4, 1); of all (2, 1).
  expect(classes).toEqual(Float32Array.of(-1, 0, 0, 0, 1, 0))
  expect(findDirections(matrix(data, 2), threadKernel(), { labels: new Int32Array(4), numClasses: 1 }).classes).toBe(undefined)
})

const MIRRORED = testConfig({ dataset: { kind: 'digits', horizontalFlip: true } }).dataset

test('of a data set that is mirrored at random are those of what training sees', () => {
  const [plain, mirrored] = [datasetDirections(loadDigits()), datasetDirections(loadDigits(), MIRRORED)]
  const asymmetry = (values: Float32Array): number => {
    const lines = rowsOf(values, 8)
    return lines.reduce((sum, line) => sum + line.reduce((all, value, x) => all + Math.abs(value - line[7 - x]), 0), 0) / lines.length
  }
  // Class means become nearly symmetric.
  expect(asymmetry(mirrored.classes as Float32Array)).toBeLessThan(0.5 * asymmetry(plain.classes as Float32Array))
  expect(datasetDirections(loadDigits(), MIRRORED)).toEqual(mirrored)
})
