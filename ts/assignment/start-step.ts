/** `startStep`: noise as drawn at first, assigned later. */
import type { AssignmentStrategy } from './assignment.ts'
import { reassign } from './reassign.ts'

/** A pool is assigned when its first step is `startStep` or a later one. Of several candidates per image the first is the noise as drawn. */
export function fromStep(inner: AssignmentStrategy, startStep: number): AssignmentStrategy {
  return reassign(inner, (pool, images, noise, noiseIndex) => {
    if (pool.firstStep >= startStep) return inner.assign(pool, images, noise, noiseIndex)
    for (let image = 0; image < noiseIndex.length; image++) noiseIndex[image] = image * inner.candidatesPerImage
    return { noiseSign: 1 }
  })
}
