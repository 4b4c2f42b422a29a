/** What the options that any strategy takes are made with: the same strategy with another way of assigning. */
import type { AssignmentStrategy } from './assignment.ts'

/** `inner` may be an object of a class: its methods are called on it. */
export function reassign(inner: AssignmentStrategy, assign: AssignmentStrategy['assign']): AssignmentStrategy {
  return {
    name: inner.name,
    candidatesPerImage: inner.candidatesPerImage,
    ...(inner.noiseSign && { noiseSign: inner.noiseSign }),
    ...(inner.keptNoise && { keptNoise: inner.keptNoise }),
    ...(inner.noiseKeys && { noiseKeys: (pool, keys) => inner.noiseKeys?.(pool, keys) }),
    assign,
  }
}
