/** `immiscible/python`: functions in Python, called from TypeScript. Exports only. */
export { openPython, type CallOptions, type Python, type PythonOptions } from './open.ts'
export { loadPipeline, type LoadedPipeline, type LoadOptions, type PipelineSampling } from './pipeline.ts'
export { computeMetric, judgeFolder, measureFolder, type JudgeOptions, type Judgement, type MeasureFolderOptions } from './metric.ts'
export { withMetric, type MeasurableRun, type Measured, type MetricEvent, type WithMetricOptions } from './with-metric.ts'
export { PythonError } from '../errors.ts'
export type { ArrayData, PythonArray } from './values.ts'
