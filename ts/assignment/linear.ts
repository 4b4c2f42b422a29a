/** The exact linear sum assignment on float32 squared L2 costs: Li et al., "Immiscible Diffusion", NeurIPS 2024 (arXiv 2406.12303), there on L2 norms in float16. */
import type { Kernel } from '../kernel/kernel.ts'
import { plainKernel } from '../kernel/plain.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'

export function linear(kernel: Kernel = plainKernel): AssignmentStrategy {
  return {
    name: 'linear',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const n = images.rows
      const cost = new Float32Array(n * n)
      kernel.costFloat32(toFloat32(images), toFloat32(noise), n, images.dims, cost)
      kernel.linearSum(cost, n, noiseIndex)
      return {}
    },
  }
}

/** Without scale and offset: one multiplies all costs, the other adds to whole columns, and no assignment changes by either. */
function toFloat32({ data }: Matrix): Float32Array {
  return data instanceof Float32Array ? data : Float32Array.from(data)
}
