/** The noise that images were assigned, batch after batch. */
import { gather } from '../assignment/assign.ts'
import type { AssignmentStrategy } from '../assignment/assignment.ts'
import { withSolvedPool } from './pool.ts'
import type { Scene } from './scene.ts'

/** Noise of `numNoises` images, batch by batch, a row for each; batch k is drawn with seed + k. */
export function* drawAssignedNoise(
  scene: Scene,
  strategy: AssignmentStrategy,
  { batchSize, numNoises, seed }: { batchSize: number; numNoises: number; seed: number },
): Generator<Float32Array> {
  for (let first = 0; first < numNoises; first += batchSize) {
    const assigned = withSolvedPool(scene, strategy, batchSize, seed + first / batchSize, ({ noise, solution }) => {
      const rows = gather(noise.data as Float32Array, solution.noiseIndex, scene.dims)
      return solution.noiseSign === 1 ? rows : rows.map((value) => -value)
    })
    yield assigned.subarray(0, (numNoises - first) * scene.dims)
  }
}
