/**
 * Assigned as by `quantized`, then negated: images keep noise regions of their own, far away instead of near. The ablation of Li et al., NeurIPS 2024
 * (arXiv 2406.12303), Fig. 7, which asks whether nearness or separation makes training faster.
 */
import type { AssignmentStrategy } from './assignment.ts'
import { quantized } from './quantized.ts'

export function negated(...options: Parameters<typeof quantized>): AssignmentStrategy {
  return { ...quantized(...options), name: 'negated', noiseSign: -1 }
}
