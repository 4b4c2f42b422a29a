/** The public surface of `immiscible`: exports only. */
export { trainImmiscible, resumeImmiscible, type ResumeOptions, type Run, type TrainOptions, type TrainResult } from './train.ts'
export { serveBatches, type ServeOptions, type Serving } from './serve.ts'
export { type TrainInput } from './prepare.ts'
export { defineConfig, type ConfigFile, type RunConfig } from './define-config.ts'
export { loadConfig, type ConfigFlag, type LoadConfigOptions, type LoadedConfig } from './load-config.ts'
export type { ConfigValue } from './config/provenance.ts'
export { describeSource, type ConfigSource } from './config/source.ts'
export { findConfigFile } from './config/file.ts'
export { parseConfigValue } from './config/text.ts'
export type { OwnStrategy, StrategyOptions } from './strategy.ts'
export { drawDenoising, type Denoising, type DenoisingModel, type DenoisingOptions, type NoiseLayer } from './denoising.ts'
export { describeTraining, type DescribeOptions, type TrainingCost } from './describe.ts'
export { measureGaussianity, type Gaussianity, type GaussianityInput, type GaussianityRow } from './gaussianity.ts'
export { measureMiscibility, type Interval, type Miscibility, type MiscibilityOptions } from './miscibility.ts'
export { drawPlot, type Plot, type PlotFiles, type PlotSeries } from './plot.ts'
export {
  sampleFiles,
  sampleRun,
  evaluateRun,
  measureRun,
  type Evaluation,
  type MeasureOptions,
  type SampleFilesOptions,
  type SampleOptions,
} from './inference.ts'
export type { JudgingOptions, Quality } from './judging.ts'
export { encodeDataset, type EncodedDataset, type EncodeOptions } from './encode.ts'
export { serveDashboard, type Dashboard, type DashboardOptions } from './dashboard.ts'
export { writeReport, type Report, type ReportOptions } from './view/report.ts'
export { analyzeAssignment, type AnalysisInput, type AnalysisRow, type AssignmentAnalysis } from './analysis/assignment.ts'
export type { StrategyChoice } from './analysis/entry.ts'
export { estimate, type Estimate } from './analysis/estimate.ts'
export { PAPER_RESULTS, PAPER_SETTINGS, type PaperResult, type PaperSetting } from './analysis/paper-values.ts'
export { trainingSpeed, type MetricCurve, type SpeedEstimate, type SpeedPair, type TrainingSpeed } from './analysis/training-speed.ts'
export { formatAnalysis } from './analysis/format.ts'
export type { AnalysisDataset } from './analysis/scene.ts'
export { assign, gather } from './assignment/assign.ts'
export { fromStep } from './assignment/start-step.ts'
export { greedy } from './assignment/greedy.ts'
export { independent } from './assignment/independent.ts'
export { linear, type LinearOptions } from './assignment/linear.ts'
export { nearest, type NearestOptions } from './assignment/nearest.ts'
export { negated } from './assignment/negated.ts'
export { persistent } from './assignment/persistent.ts'
export { quantized } from './assignment/quantized.ts'
export { STRATEGIES } from './assignment/table.ts'
export { withinLabel } from './assignment/within-label.ts'
export type { AssignmentReport, AssignmentStrategy, Matrix, PoolContext } from './assignment/assignment.ts'
export type { Dataset } from './dataset/dataset.ts'
export type { OwnDataset, OwnImage, OwnIterable, OwnReadable } from './dataset/custom.ts'
export type { DatasetProgress } from './dataset/table.ts'
export { fetchDataset, type Fetched, type FetchOptions, type FetchProgress } from './download/fetch.ts'
export {
  cleanDatasets,
  inspectDataset,
  listDatasets,
  verifyDatasets,
  writeContactSheet,
  type CleanOptions,
  type DatasetCheck,
  type DatasetCopy,
  type DatasetDetails,
  type DatasetList,
  type DatasetRemoval,
  type InspectInput,
  type InspectOptions,
} from './data.ts'
export {
  compareRuns,
  listRuns,
  type ComparedField,
  type ListRunsOptions,
  type RunComparison,
  type RunState,
  type RunSummary,
} from './report/runs.ts'
export { readRunCurves, type RunCurves } from './report/run-curves.ts'
export { diagnose, type Diagnosis, type DiagnoseOptions } from './doctor/diagnose.ts'
export { formatDiagnosis } from './doctor/format.ts'
export type { Check } from './doctor/check.ts'
export { makeKeys, type KeyPairFiles } from './worker/keys.ts'
export { ensureEnvironment, type Environment } from './worker/environment.ts'
export { ConfigError, ImmiscibleError, WorkerError, type ErrorCode } from './errors.ts'
export { ASSIGNMENT_PRESETS, listConfigFields, type ConfigField } from '../protocol/index.ts'
export type {
  AssignmentInput,
  AssignmentMetrics,
  EvaluationConfig,
  MeasureValue,
  NoiseDrift,
  RunEvent,
  RunEventOf,
  TrainConfig,
  TrainConfigInput,
} from '../protocol/index.ts'
