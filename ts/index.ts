/** The public surface of `immiscible`: exports only. */
export { trainImmiscible, resumeImmiscible, type Run, type TrainInput, type TrainOptions, type TrainResult } from './train.ts'
export { sampleRun, evaluateRun, type Evaluation } from './inference.ts'
export {
  analyzeAssignment,
  type AnalysisInput,
  type AnalysisRow,
  type AssignmentAnalysis,
  type StrategyChoice,
} from './analysis/assignment.ts'
export type { Estimate } from './analysis/estimate.ts'
export { formatAnalysis } from './analysis/format.ts'
export type { AnalysisDataset } from './analysis/scene.ts'
export { assign, gather } from './assignment/assign.ts'
export { independent } from './assignment/independent.ts'
export { linear } from './assignment/linear.ts'
export { quantized } from './assignment/quantized.ts'
export { STRATEGIES } from './assignment/table.ts'
export type { AssignmentReport, AssignmentStrategy, Matrix, PoolContext } from './assignment/assignment.ts'
export type { Dataset } from './dataset/dataset.ts'
export { ensureEnvironment, type Environment } from './worker/environment.ts'
export { ConfigError, ImmiscibleError, WorkerError, type ErrorCode } from './errors.ts'
export type { AssignmentMetrics, NoiseDrift, RunEvent, RunEventOf, TrainConfig, TrainConfigInput } from '../protocol/index.ts'
