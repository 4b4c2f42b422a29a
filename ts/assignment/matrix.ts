/** The numbers of a matrix in the types that kernels take. Arrays live in the caller's arena. */
import { ImmiscibleError } from '../errors.ts'
import { fromFloat16 } from '../kernel/half.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import type { Matrix } from './assignment.ts'

/** 132,104 * 128 * 127 is the last sum that int32 holds. */
const MAX_DIMS = 132_104

/** What each element means, float32. */
export function toFloats({ data, scale, offset }: Matrix, kernel: Kernel, arena: Arena): Float32Array {
  if (data instanceof Float32Array && scale === 1 && offset === 0) return arena.place(data)
  const floats = arena.array(Float32Array, data.length)
  if (data instanceof Int8Array) kernel.unpack(data, scale, offset, floats)
  else for (let at = 0; at < data.length; at++) floats[at] = data[at] * scale + offset
  return floats
}

/** int8. Floats (latents) are scaled by the largest magnitude of the matrix; scale and offset change no assignment by inner products. */
function toInt8({ data }: Matrix, kernel: Kernel, arena: Arena): Int8Array {
  if (data instanceof Int8Array) return arena.place(data)
  const packed = arena.array(Int8Array, data.length)
  kernel.packFloats(data, packed)
  return packed
}

/** Images as int8 and noise as 7-bit numbers, for integer products. Throws an ASSIGNMENT error where a sum of these may leave int32. */
export function packPair(
  strategy: string,
  images: Matrix,
  noise: Matrix,
  kernel: Kernel,
  arena: Arena,
): { readonly x: Int8Array; readonly y: Uint8Array } {
  const { dims } = images
  if (dims > MAX_DIMS) {
    const message = `[assignment:${strategy}] images.dims: expected at most ${MAX_DIMS} (sums are int32), got ${dims}`
    throw new ImmiscibleError('ASSIGNMENT', message)
  }
  const y = arena.array(Uint8Array, noise.rows * dims)
  kernel.packNoise(noise.data as Float32Array, y)
  return { x: toInt8(images, kernel, arena), y }
}

/** x_i . y_index[i], float32. */
export function products(x: Float32Array, y: Float32Array, index: Int32Array, dims: number, kernel: Kernel, arena: Arena): Float32Array {
  const out = arena.array(Float32Array, index.length)
  kernel.pairProducts(x, y, index, dims, out)
  return out
}

/** Squared L2 norm of each row, float32. */
export function squaredNorms(rows: Float32Array, dims: number, kernel: Kernel, arena: Arena): Float32Array {
  const everyRow = Int32Array.from({ length: rows.length / dims }, (_, row) => row)
  return products(rows, rows, everyRow, dims, kernel, arena)
}

let halves: Float32Array | undefined

/** Rounds floats to the nearest float16 into `out`, which may be `values`. */
export function roundToFloat16(values: Float32Array, out: Float32Array, kernel: Kernel): void {
  halves ??= everyHalf()
  const table = halves
  kernel.scope((arena) => {
    const bits = arena.array(Uint16Array, values.length)
    kernel.toFloat16(values, bits)
    for (let at = 0; at < bits.length; at++) out[at] = table[bits[at]]
  })
}

function everyHalf(): Float32Array {
  const values = new Float32Array(2 ** 16)
  fromFloat16(
    Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits),
    values,
  )
  return values
}
