/** Noise as drawn: the baseline that every other strategy is measured against. */
import type { AssignmentStrategy } from './assignment.ts'

export function independent(): AssignmentStrategy {
  return {
    name: 'independent',
    candidatesPerImage: 1,
    assign(_pool, _images, _noise, noiseIndex) {
      for (let image = 0; image < noiseIndex.length; image++) noiseIndex[image] = image
      return {}
    },
  }
}
