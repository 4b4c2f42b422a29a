/** The exact linear sum assignment on float32 squared L2 costs: Li et al., "Immiscible Diffusion", NeurIPS 2024 (arXiv 2406.12303), there on L2 norms in float16. */
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'

export function linear(kernel: Kernel = threadKernel()): AssignmentStrategy {
  return {
    name: 'linear',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const n = images.rows
      kernel.scope((arena) => {
        const cost = arena.array(Float32Array, n * n)
        kernel.costFloat32(toFloat32(images, kernel, arena), toFloat32(noise, kernel, arena), n, images.dims, cost)
        kernel.linearSum(cost, n, noiseIndex)
      })
      return {}
    },
  }
}

/** What it takes of a kernel's arena for n images of int8, in bytes: float images, costs, and the solver's duals and lists. */
export function linearBytes(n: number, dims: number): number {
  return 4 * n * dims + 4 * n ** 2 + 64 * n
}

/** Without scale and offset: one multiplies all costs, the other adds to whole columns, and no assignment changes by either. */
function toFloat32({ data }: Matrix, kernel: Kernel, arena: Arena): Float32Array {
  if (data instanceof Float32Array) return data
  const floats = arena.array(Float32Array, data.length)
  kernel.unpack(data, 1, 0, floats)
  return floats
}
