/** `immiscible reproduce`: parse, call, print. */
import type { Command } from 'commander'
import { ConfigError } from '../index.ts'
import {
  DEFAULT_SEEDS,
  describeRecipe,
  DEVICES,
  dryRun,
  RECIPES,
  reproduce,
  STUDY,
  type DryRun,
  type DryRunRow,
  type Overrides,
  type Recipe,
  type RecipeDescription,
  type Scale,
} from '../recipe/index.ts'
import { formatBytes } from './bytes.ts'
import { inceptionOf, withInception, type InceptionFlags } from './inception.ts'
import { withInterrupt } from './interrupt.ts'
import { integer } from './parse.ts'
import { formatTable } from './table.ts'

interface Flags extends InceptionFlags {
  readonly scale: Scale
  readonly seeds?: number
  readonly dryRun?: boolean
  readonly outputDir?: string
  readonly jobs: number
  readonly path?: Record<string, string>
  readonly lpips?: string
  readonly device?: NonNullable<Overrides['device']>
  readonly json?: boolean
}

const STUDIES: readonly Recipe[] = STUDY.map(({ recipe }) => recipe)
const ALL: readonly Recipe[] = [...RECIPES, ...STUDIES]

/** Adds the command. */
export function addReproduce(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  withInception(program.command('reproduce'), 'as the code base of the objective')
    .description("a table or figure of the papers, run and printed with the paper's numbers beside ours")
    .argument('<recipe>', '`list`, or one of those that it shows')
    .option('--scale <name>', 'small: embedded data, minutes; paper: as the paper has it', parseScale, 'small')
    .option('--seeds <runs>', 'runs of each arm; 3, at the scale of the paper 1', integer)
    .option('--dry-run', 'resolve every arm, train it for two steps on random images, and say what the whole would cost')
    .option('--output-dir <folder>', 'where runs and report go; runs/reproduce/RECIPE-SCALE')
    .option('--jobs <runs>', 'runs trained at the same time', integer, 1)
    .option('--path <kind=path>', 'a data set of the paper, where it is not in the cache: cifar10=/data/cifar-10; may be repeated', addPath)
    .option('--lpips <file>', 'weights of LPIPS in safetensors, for consistency training as the papers have it')
    .option('--device <name>', 'auto, cuda, mps or cpu')
    .option('--json', 'everything, for programs')
    .action(async (id: string, flags: Flags) => {
      if (id === 'list') return print(list(flags))
      const recipe = ALL.find((one) => one.id === id)
      if (!recipe) {
        const message = `expected list or one of ${ALL.map((one) => one.id).join(', ')}, got ${id}`
        throw new ConfigError([{ path: 'recipe', message }])
      }
      if (flags.scale === 'paper' && STUDIES.includes(recipe)) {
        throw new ConfigError([{ path: 'scale', message: `expected small, the only scale of ${id}, got paper` }])
      }
      await withInterrupt(async (signal) => {
        const { scale, seeds, outputDir, jobs } = flags
        const overrides = { ...overridesOf(flags), scale, signal, log }
        if (flags.dryRun) {
          const tried = await dryRun(recipe, overrides)
          print(flags.json ? JSON.stringify(tried, null, 2) : formatDryRun(recipe, tried))
        } else {
          const { folder, text, report } = await reproduce(recipe, {
            ...overrides,
            jobs,
            ...(seeds !== undefined && { seeds }),
            ...(outputDir !== undefined && { outputDir }),
          })
          print(flags.json ? JSON.stringify({ folder, report }, null, 2) : `${text}\nwritten: ${folder}`)
        }
      })
    })
}

function addPath(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [, kind, path] = /^([\w-]+)=(.+)$/.exec(text) ?? []
  if (kind === undefined || path === undefined) throw new ConfigError([{ path: 'path', message: `expected KIND=PATH, got ${text}` }])
  return { ...before, [kind]: path }
}

function parseScale(text: string): Scale {
  if (text === 'small' || text === 'paper') return text
  throw new ConfigError([{ path: 'scale', message: `expected small or paper, got ${text}` }])
}

function overridesOf(flags: Flags): Overrides {
  const { path: paths, lpips, device } = flags
  const inception = inceptionOf(flags)
  return {
    ...(paths && { paths }),
    ...(inception && { inception }),
    ...(lpips !== undefined && { lpips }),
    ...(device !== undefined && { device }),
  }
}

function list({ scale, seeds = DEFAULT_SEEDS[scale], json }: Flags): string {
  const descriptions = (scale === 'small' ? ALL : RECIPES).map((recipe) => describeRecipe(recipe, scale, seeds))
  if (json) return JSON.stringify(descriptions, null, 2)
  const rows = descriptions.map((recipe) => [
    recipe.id,
    recipe.title,
    recipe.numArms === 0 ? 'none' : `${recipe.numArms} x ${recipe.seeds}`,
    recipe.numArms === 0 ? 'minutes' : formatCost(recipe.cost.seconds),
    recipe.needs.join(', ') || '-',
    knownOf(recipe),
  ])
  const header = ['recipe', 'what', 'runs', 'time', 'needs', 'known']
  return `${formatTable([header, ...rows])}\n\nScale ${scale}. Time: on ${DEVICES[scale].name}. \`reproduce RECIPE --scale ${scale} --dry-run\` tells more of one.\n${NEEDS[scale]}`
}

const NEEDS: Readonly<Record<Scale, string>> = {
  small: 'Nothing has to be downloaded.',
  paper:
    'Needs: data sets by `immiscible data fetch NAME` or `--path KIND=PATH`, weights of LPIPS by `--lpips`; FID rather than a small classifier by `--inception`.',
}

function knownOf({ numKnown, unknown }: RecipeDescription): string {
  const count = (many: number, one: string): string => `${many} ${one}${many === 1 ? '' : 's'}`
  const settings = unknown.length > 0 ? [`${count(unknown.length, 'setting')} unknown`] : []
  return [numKnown > 0 ? count(numKnown, 'number') : 'no number', ...settings].join(', ')
}

function formatDryRun(recipe: Recipe, { scale, batchSize, rows }: DryRun): string {
  const header = [
    'arm',
    'parameters',
    'training state',
    'activations per image',
    'GFLOP per image',
    'PFLOP in all',
    'time',
    'losses, or why not',
  ]
  const table = rows.length > 0 ? formatTable([header, ...rows.map(rowOf)], { mayCut: false }) : undefined
  const unknown = recipe.unknown(scale).map((text) => `not known: ${text}`)
  return [
    `${recipe.title} (${recipe.source}), scale ${scale}`,
    ...(table === undefined
      ? [
          `Nothing is trained: batches are assigned and measured, of ${[...new Set(recipe.datasets?.(scale).map(({ kind }) => kind))].join(', ')}.`,
        ]
      : [table, `Two steps of a batch of ${batchSize} random images on this machine. Time: of each run, on ${DEVICES[scale].name}.`]),
    ...unknown,
  ].join('\n\n')
}

function rowOf({ arm, training, cost, losses, note }: DryRunRow): string[] {
  const shown = losses?.map((loss) => loss?.toFixed(3) ?? 'not finite').join(', ')
  return [
    arm,
    training ? training.numParameters.toLocaleString('en') : '-',
    training ? formatBytes(training.stateBytes.total) : '-',
    training ? formatBytes(training.activationBytes) : '-',
    training ? (training.forwardFlops / 1e9).toFixed(2) : '-',
    cost ? cost.petaflops.toFixed(cost.petaflops < 10 ? 3 : 0) : '-',
    cost ? formatCost(cost.seconds) : '-',
    [shown, note].filter(Boolean).join('; '),
  ]
}

/** As far as an estimate goes: two digits. */
function formatCost(seconds: number): string {
  const units = [
    ['days', 86_400],
    ['h', 3600],
  ] as const
  // Two at least: one and a half of what is larger tells less.
  const [unit, size] = units.find(([, length]) => seconds >= 2 * length) ?? ['min', 60]
  return `${Number((seconds / size).toPrecision(2))} ${unit}`
}
