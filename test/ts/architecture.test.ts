/** The house rules, read from the sources: who may import whom, how long a file may be, what is public. What must not be there: gate.test.ts. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readWorkerRequirements } from '../../ts/worker/requirements.ts'

const ROOT = join(import.meta.dirname, '..', '..')
type Sources = Readonly<Record<string, string>>

const sources: Sources = Object.fromEntries(
  ['ts', 'protocol', 'py']
    .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)))
    .filter((file) => /\.(ts|mjs|py)$/.test(file) && !file.includes('node_modules'))
    .map((file) => [file.replaceAll('\\', '/'), readFileSync(join(ROOT, file), 'utf8')]),
)

/** What each room may import, as rooms; its own files always. `types` = only with `import type`. */
const ROOMS: Readonly<Record<string, { may: readonly string[]; types?: readonly string[] }>> = {
  protocol: { may: [] },
  'ts/errors.ts': { may: [] },
  'ts/process.ts': { may: ['ts/errors.ts'] },
  'ts/lock.ts': { may: [] },
  'ts/cache-folder.ts': { may: [] },
  'ts/kernel': { may: [] },
  'ts/random': { may: ['ts/kernel'] },
  'ts/dataset': { may: ['protocol', 'ts/kernel', 'ts/random', 'ts/errors.ts', 'ts/lock.ts', 'ts/cache-folder.ts'] },
  'ts/download': { may: ['protocol', 'ts/errors.ts', 'ts/lock.ts', 'ts/cache-folder.ts'] },
  'ts/assignment': { may: ['ts/kernel', 'ts/random', 'ts/errors.ts'], types: ['protocol'] },
  'ts/pipeline': { may: ['protocol', 'ts/dataset', 'ts/assignment', 'ts/kernel', 'ts/random', 'ts/errors.ts'] },
  'ts/worker': { may: ['protocol', 'ts/errors.ts', 'ts/process.ts', 'ts/lock.ts', 'ts/cache-folder.ts'] },
  // What it asks Python is about runs and data sets, which it hands over as files: by the files that join those rooms.
  'ts/python': {
    may: ['protocol', 'ts/errors.ts', 'ts/event-stream.ts', 'ts/worker', 'ts/sampling.ts', 'ts/dataset-files.ts', 'ts/judging.ts'],
  },
  'ts/doctor': { may: ['ts/errors.ts', 'ts/cache-folder.ts', 'ts/process.ts', 'ts/worker', 'ts/python', 'ts/kernel'] },
  'ts/report': { may: ['protocol', 'ts/errors.ts', 'ts/process.ts', 'ts/lock.ts'] },
  'ts/config': { may: ['protocol', 'ts/errors.ts'] },
  'ts/view': { may: ['protocol', 'ts/errors.ts', 'ts/report'] },
  'ts/analysis': { may: ['protocol', 'ts/dataset', 'ts/assignment', 'ts/pipeline', 'ts/kernel', 'ts/random', 'ts/errors.ts'] },
  'ts/testing': { may: ['ts/assignment', 'ts/kernel'] },
  'ts/cli': { may: ['ts/index.ts', 'ts/recipe'] },
  'ts/recipe': { may: ['ts/index.ts'] },
  'ts/bootstrap': { may: ['protocol', 'ts/errors.ts', 'ts/process.ts', 'ts/worker'] },
}
/** The files directly in ts/ that join the rooms (train.ts and its like): all but what stands on top of them. */
const ABOVE = ['ts/index.ts', 'ts/cli', 'ts/recipe', 'ts/bootstrap', 'ts/testing']

/** Each outside package has one file (zod and commander: one room). */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  // In the text that they write for users.
  immiscible: /^(ts\/cli\/init|protocol\/config-reference)\.ts$/,
  zod: /^protocol\//,
  zeromq: /^ts\/worker\/channel\.ts$/,
  msgpackr: /^ts\/worker\/codec\.ts$/,
  execa: /^ts\/process\.ts$/,
  pythonia: /^ts\/python\/[\w-]+\.ts$/,
  assemblyscript: /^ts\/bootstrap\/compile-kernels\.ts$/,
  commander: /^ts\/cli\//,
  yaml: /^ts\/config\/yaml\.ts$/,
  '@cornerstonejs': /^ts\/dataset\/image\/jpeg-codec\.ts$/,
  sharp: /^ts\/dataset\/image\/decode\.ts$/,
  yauzl: /^ts\/dataset\/archive\/zip\.ts$/,
  'tar-stream': /^ts\/dataset\/archive\/tar\.ts$/,
  hyparquet: /^ts\/dataset\/parquet-file\.ts$/,
  'hyparquet-compressors': /^ts\/dataset\/parquet-file\.ts$/,
  uplot: /^ts\/view\/assets\.ts$/,
  vitest: /^ts\/testing\/index\.ts$/,
}

interface Import {
  readonly target: string
  readonly isType: boolean
}

function readImports(source: string): Import[] {
  const statements = source.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'/gm)
  const dynamic = source.matchAll(/\b(?:import|require\.resolve)\(\s*'([^']+)'|new URL\(\s*'(\.[^']*\.ts)'/g)
  return [
    ...[...statements].map(([, type, target]) => ({ target: target, isType: type !== undefined })),
    ...[...dynamic].map(([, module, url]) => ({ target: module ?? url, isType: false })),
  ]
}

function roomOf(file: string): string {
  if (file.startsWith('protocol/')) return 'protocol'
  const [, second = ''] = file.split('/')
  return `ts/${second}`
}

function findTypeScriptViolations(files: Sources): string[] {
  const violations: string[] = []
  const usersOf = new Map<string, Set<string>>()
  for (const [file, source] of Object.entries(files).filter(([name]) => /\.(ts|mjs)$/.test(name))) {
    const room = roomOf(file)
    for (const { target, isType } of readImports(source)) {
      if (target.startsWith('node:')) {
        if (room === 'ts/kernel' && !file.startsWith('ts/kernel/simd')) violations.push(`${file}: the kernel imports ${target}`)
      } else if (target.startsWith('.')) {
        const other = roomOf(normalize(join(dirname(file), target)).replaceAll('\\', '/'))
        const rules = ROOMS[room]
        const isAllowed =
          other === room ||
          (rules ? rules.may.includes(other) || (isType && rules.types?.includes(other)) : file === 'ts/index.ts' || !ABOVE.includes(other))
        if (!isAllowed) violations.push(`${file}: ${room} may not import ${other}${isType ? '' : ' (a value)'}`)
      } else {
        const name = target.split('/')[0]
        if (!PACKAGES[name]?.test(file)) violations.push(`${file}: ${name} may not be imported here`)
        usersOf.set(name, (usersOf.get(name) ?? new Set()).add(file))
      }
    }
  }
  for (const name of ['zeromq', 'msgpackr', 'execa', 'pythonia', 'yaml']) {
    const users = usersOf.get(name) ?? new Set()
    if (users.size > 1) violations.push(`${name} is imported in ${[...users].join(', ')}: expected one file`)
  }
  return violations
}

function findPythonViolations(files: Sources): string[] {
  const violations: string[] = []
  for (const [file, source] of Object.entries(files).filter(([name]) => name.startsWith('py/immiscible_worker/'))) {
    const name = file.slice('py/immiscible_worker/'.length)
    const isMath = /^((objective|quality)\/.*|network|sampling|sampler|metric)(\.py)?$/.test(name)
    const modules = [...source.matchAll(/^\s*(?:from\s+([\w.]+)\s+import|import\s+([\w., ]+))/gm)].flatMap(
      ([, from, plain]) => from ?? plain.split(',').map((part) => part.trim().split(' ')[0]),
    )
    for (const module of modules) {
      const leaf = module.split('.').find((part) => part !== '' && part !== 'immiscible_worker') ?? ''
      if (isMath && ['zmq', 'msgspec', 'channel', 'codec'].includes(leaf)) violations.push(`${file}: knows ${module}`)
      if (name !== 'codec.py' && ['struct', 'zlib', 'binascii'].includes(leaf))
        violations.push(`${file}: only codec.py knows bytes, not ${module}`)
      if (name !== 'channel.py' && leaf === 'zmq') violations.push(`${file}: only channel.py knows zmq`)
    }
  }
  return violations
}

function findLongFiles(files: Sources): string[] {
  return Object.entries(files).flatMap(([file, source]) => {
    const limit = file.endsWith('.py') ? 400 : 300
    const numLines = source.split('\n').length - 1
    return numLines > limit && !isGenerated(source) ? [`${file}: ${numLines} lines, expected at most ${limit}`] : []
  })
}

function findSilentFiles(files: Sources): string[] {
  return Object.entries(files).flatMap(([file, source]) => {
    const first = source.split('\n').find((line) => line !== '' && !line.startsWith('#!')) ?? ''
    return source !== '' && !/^(\/\*\*|""")/.test(first) ? [`${file}: the first line does not say why the file is there`] : []
  })
}

const isGenerated = (source: string): boolean => source.slice(0, 200).includes('GENERATED')

describe('the tree', () => {
  test('TypeScript imports keep to their rooms', () => expect(findTypeScriptViolations(sources)).toEqual([]))
  test('Python imports keep to their rooms', () => expect(findPythonViolations(sources)).toEqual([]))
  test('files are short', () => expect(findLongFiles(sources)).toEqual([]))
  test("each file's first line says its one reason", () => expect(findSilentFiles(sources)).toEqual([]))
  test('every room that is there has a rule, or joins the others', () => {
    const rooms = new Set(
      Object.keys(sources)
        .filter((file) => file.startsWith('ts/'))
        .map(roomOf),
    )
    const unknown = [...rooms].filter((room) => !room.endsWith('.ts') && !ROOMS[room])
    expect(unknown).toEqual([])
  })
})

describe('control: each planted violation is found', () => {
  const cases: readonly [name: string, file: string, source: string, find: (files: Sources) => string[]][] = [
    ['dataset -> assignment', 'ts/dataset/x.ts', "import { linear } from '../assignment/linear.ts'", findTypeScriptViolations],
    ['download -> dataset', 'ts/download/x.ts', "import { fileIdentity } from '../dataset/files.ts'", findTypeScriptViolations],
    ['kernel -> node', 'ts/kernel/x.ts', "import { join } from 'node:path'", findTypeScriptViolations],
    ['kernel -> errors', 'ts/kernel/x.ts', "import { ImmiscibleError } from '../errors.ts'", findTypeScriptViolations],
    [
      'protocol values in assignment',
      'ts/assignment/x.ts',
      "import { trainConfig } from '../../protocol/index.ts'",
      findTypeScriptViolations,
    ],
    [
      'worker -> data side, over lines',
      'ts/worker/x.ts',
      "import {\n  loadDataset,\n} from '../dataset/table.ts'",
      findTypeScriptViolations,
    ],
    ['cli past the door', 'ts/cli/x.ts', "export * from '../train.ts'", findTypeScriptViolations],
    ['train -> cli', 'ts/train.ts', "import './cli/main.ts'", findTypeScriptViolations],
    ['a thread in another room', 'ts/pipeline/x.ts', "new Worker(new URL('../worker/x.ts', import.meta.url))", findTypeScriptViolations],
    ['a second file with execa', 'ts/worker/x.ts', "const { execa } = await import('execa')", findTypeScriptViolations],
    ['a test runner in the package', 'ts/assignment/x.ts', "import { test } from 'vitest'", findTypeScriptViolations],
    ['training -> the suite for authors', 'ts/train.ts', "import { checkStrategy } from './testing/check.ts'", findTypeScriptViolations],
    ['analysis -> worker', 'ts/analysis/x.ts', "import { openChannel } from '../worker/channel.ts'", findTypeScriptViolations],
    ['config -> worker', 'ts/config/x.ts', "import { openChannel } from '../worker/channel.ts'", findTypeScriptViolations],
    ['yaml elsewhere in the room', 'ts/config/x.ts', "import { parse } from 'yaml'", findTypeScriptViolations],
    ['the page -> the server', 'ts/view/page/x.mjs', "import { send } from '../../worker/channel.ts'", findTypeScriptViolations],
    ['uPlot elsewhere', 'ts/cli/x.ts', "require.resolve('uplot/dist/x.js')", findTypeScriptViolations],
    ['python -> data side', 'ts/python/x.ts', "import { loadDataset } from '../dataset/table.ts'", findTypeScriptViolations],
    ['a second file with pythonia', 'ts/doctor/x.ts', "const { python } = await import('pythonia')", findTypeScriptViolations],
    ['zod outside protocol', 'ts/report/x.ts', "import { z } from 'zod'", findTypeScriptViolations],
    ['an unknown package', 'ts/report/x.ts', "import type { X } from 'left-pad/x'", findTypeScriptViolations],
    ['objective -> zmq', 'py/immiscible_worker/objective/x.py', 'import torch, zmq', findPythonViolations],
    ['quality -> codec', 'py/immiscible_worker/quality/x.py', 'from ..codec import tensor_sha256', findPythonViolations],
    ['network -> msgspec', 'py/immiscible_worker/network.py', 'from msgspec import json', findPythonViolations],
    ['bytes outside codec', 'py/immiscible_worker/worker.py', '    import struct', findPythonViolations],
    ['a long file', 'ts/cli/x.ts', '\n'.repeat(301), findLongFiles],
    ['a silent file', 'ts/cli/x.ts', 'export const x = 1\n', findSilentFiles],
  ]
  test.each(cases)('%s', (_name, file, source, find) => {
    expect(find({ [file]: source })).not.toEqual([])
  })
})

/** What a file of exports exports; it must have nothing else. */
function readSurface(file: string): string[] {
  const index = sources[file].replaceAll(/\/\*[\s\S]*?\*\//g, '')
  expect(index.replaceAll(/export (?:type )?\{[^}]*\} from '[^']+'\n/g, '').trim(), 'exports only').toBe('')
  const names = [...index.matchAll(/export (type )?\{([^}]*)\}/g)].flatMap(([, type, list]) =>
    list
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
      .map((name) => (type ? `type ${name}` : name)),
  )
  return names.toSorted()
}

test('the public surface is this, and changes only on purpose', () => {
  expect(readSurface('ts/index.ts')).toEqual(PUBLIC_SURFACE)
  expect(readSurface('ts/python/index.ts')).toEqual(PYTHON_SURFACE)
})

test('dependencies are pinned exactly', () => {
  const { dependencies, devDependencies, peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
  expect(loose).toEqual([])
  // Optional, and only for the suite for authors of strategies: an exact pin would refuse every other vitest of theirs.
  expect(peerDependencies).toEqual({ vitest: `>=${devDependencies['vitest'].split('.')[0]}.0.0` })
  const { base, extras } = readWorkerRequirements()
  const python = [...base, ...Object.values(extras).flat()]
  expect(python.filter(({ version }) => !/^\d+(\.\d+)+(\.post\d+)?$/.test(version ?? '')).map(({ text }) => text)).toEqual([])
})

const PUBLIC_SURFACE: readonly string[] = [
  'ASSIGNMENT_PRESETS',
  'ConfigError',
  'ImmiscibleError',
  'PAPER_RESULTS',
  'PAPER_SETTINGS',
  'STRATEGIES',
  'WorkerError',
  'analyzeAssignment',
  'assign',
  'cleanDatasets',
  'compareRuns',
  'defineConfig',
  'describeSource',
  'describeTraining',
  'diagnose',
  'drawDenoising',
  'drawPlot',
  'encodeDataset',
  'ensureEnvironment',
  'estimate',
  'evaluateRun',
  'fetchDataset',
  'findConfigFile',
  'formatAnalysis',
  'formatDiagnosis',
  'fromStep',
  'gather',
  'greedy',
  'independent',
  'inspectDataset',
  'linear',
  'listConfigFields',
  'listDatasets',
  'listRuns',
  'loadConfig',
  'makeKeys',
  'measureGaussianity',
  'measureMiscibility',
  'measureRun',
  'nearest',
  'negated',
  'parseConfigValue',
  'persistent',
  'quantized',
  'readRunCurves',
  'resumeImmiscible',
  'sampleFiles',
  'sampleRun',
  'serveBatches',
  'serveDashboard',
  'trainImmiscible',
  'trainingSpeed',
  'type AnalysisDataset',
  'type AnalysisInput',
  'type AnalysisRow',
  'type AssignmentAnalysis',
  'type AssignmentInput',
  'type AssignmentMetrics',
  'type AssignmentReport',
  'type AssignmentStrategy',
  'type Check',
  'type CleanOptions',
  'type ComparedField',
  'type ConfigField',
  'type ConfigFile',
  'type ConfigFlag',
  'type ConfigSource',
  'type ConfigValue',
  'type Dashboard',
  'type DashboardOptions',
  'type Dataset',
  'type DatasetCheck',
  'type DatasetCopy',
  'type DatasetDetails',
  'type DatasetList',
  'type DatasetProgress',
  'type DatasetRemoval',
  'type Denoising',
  'type DenoisingModel',
  'type DenoisingOptions',
  'type DescribeOptions',
  'type DiagnoseOptions',
  'type Diagnosis',
  'type EncodeOptions',
  'type EncodedDataset',
  'type Environment',
  'type ErrorCode',
  'type Estimate',
  'type Evaluation',
  'type EvaluationConfig',
  'type FetchOptions',
  'type FetchProgress',
  'type Fetched',
  'type Gaussianity',
  'type GaussianityInput',
  'type GaussianityRow',
  'type InspectInput',
  'type InspectOptions',
  'type Interval',
  'type JudgingOptions',
  'type KeyPairFiles',
  'type LinearOptions',
  'type ListRunsOptions',
  'type LoadConfigOptions',
  'type LoadedConfig',
  'type Matrix',
  'type MeasureOptions',
  'type MeasureValue',
  'type MetricCurve',
  'type Miscibility',
  'type MiscibilityOptions',
  'type NearestOptions',
  'type NoiseDrift',
  'type NoiseLayer',
  'type OwnDataset',
  'type OwnImage',
  'type OwnIterable',
  'type OwnReadable',
  'type OwnStrategy',
  'type PaperResult',
  'type PaperSetting',
  'type Plot',
  'type PlotFiles',
  'type PlotSeries',
  'type PoolContext',
  'type Quality',
  'type Report',
  'type ReportOptions',
  'type ResumeOptions',
  'type Run',
  'type RunComparison',
  'type RunConfig',
  'type RunCurves',
  'type RunEvent',
  'type RunEventOf',
  'type RunState',
  'type RunSummary',
  'type SampleFilesOptions',
  'type SampleOptions',
  'type ServeOptions',
  'type Serving',
  'type SpeedEstimate',
  'type SpeedPair',
  'type StrategyChoice',
  'type StrategyOptions',
  'type TrainConfig',
  'type TrainConfigInput',
  'type TrainInput',
  'type TrainOptions',
  'type TrainResult',
  'type TrainingCost',
  'type TrainingSpeed',
  'verifyDatasets',
  'withinLabel',
  'writeContactSheet',
  'writeReport',
]

/** Of `immiscible/python`. */
const PYTHON_SURFACE: readonly string[] = [
  'PythonError',
  'computeMetric',
  'judgeFolder',
  'loadPipeline',
  'measureFolder',
  'openPython',
  'type ArrayData',
  'type CallOptions',
  'type JudgeOptions',
  'type Judgement',
  'type LoadOptions',
  'type LoadedPipeline',
  'type MeasurableRun',
  'type MeasureFolderOptions',
  'type Measured',
  'type MetricEvent',
  'type PipelineSampling',
  'type Python',
  'type PythonArray',
  'type PythonOptions',
  'type WithMetricOptions',
  'withMetric',
]
