/**
 * `npm run objectives [-- ddim consistency flow --assignment NAME]`: one small model per objective on the embedded digits, and how many of its samples
 * are digits. Ends with 1 where they are fewer than a threshold.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { evaluateRun, trainImmiscible, type TrainInput } from '../index.ts'

const NUM_JUDGED = 512
/** Share of samples that have to be digits. */
const THRESHOLD = 0.6

interface Sampler {
  readonly name: string
  readonly numInferenceSteps?: number
  readonly solver?: 'euler' | 'dopri5'
  /** Its share is told, and may be below the threshold. */
  readonly isOnlyTold?: true
}

interface Recipe {
  readonly input: Pick<TrainInput, 'objective' | 'optimizer' | 'ema' | 'globalBatchSize' | 'maxTrainSteps'>
  readonly samplers: readonly Sampler[]
}

const SMALL = { optimizer: { learningRate: 0.004 }, ema: { decay: 0.998 }, globalBatchSize: 64, maxTrainSteps: 2000 } as const

const RECIPES: Readonly<Record<string, Recipe>> = {
  ddim: {
    // On 8x8 images the linear schedule spends most of its steps on noise that hides everything.
    input: { ...SMALL, objective: { kind: 'ddim', betaSchedule: 'squaredcos_cap_v2' } },
    samplers: [{ name: 'DDIM, 50 steps', numInferenceSteps: 50 }],
  },
  consistency: {
    // Each level learns from the answer at the one below, so it takes more steps.
    input: {
      ...SMALL,
      optimizer: { ...SMALL.optimizer, lrScheduler: 'cosine' },
      maxTrainSteps: 4000,
      objective: { kind: 'consistency', s0: 10, s1: 40 },
    },
    samplers: [
      { name: '1 step', numInferenceSteps: 1 },
      // A coupled model meets noise here that is independent of the image, which it was not trained on (docs/objectives.md).
      { name: '2 steps', numInferenceSteps: 2, isOnlyTold: true },
    ],
  },
  flow: {
    input: { ...SMALL, objective: { kind: 'flow' } },
    samplers: [
      { name: 'Euler, 20 steps', numInferenceSteps: 20 },
      { name: 'dopri5', solver: 'dopri5' },
    ],
  },
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { assignment: { type: 'string', default: 'quantized' } } })
  const names = positionals.length > 0 ? positionals : Object.keys(RECIPES)
  const unknown = names.find((name) => !Object.hasOwn(RECIPES, name))
  if (unknown !== undefined) throw new Error(`objectives: expected some of ${Object.keys(RECIPES).join(', ')}, got ${unknown}`)
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
  const rows: string[] = []
  for (const name of names) rows.push(...(await trainOne(name, values.assignment, join('runs', `objectives-${stamp}`, name))))
  process.stdout.write(
    ['', '| objective | sampled by | digits | untrained | steps trained | minutes |', '|---|---|---|---|---|---|', ...rows, ''].join('\n'),
  )
  process.stdout.write(
    `\ndigits: share of ${NUM_JUDGED} samples that a small classifier takes for one digit with probability >= 0.9. Runs and grids: runs/objectives-${stamp}\n`,
  )
}

/** Rows of the table: one for each way of sampling. */
async function trainOne(name: string, assignment: string, outputDir: string): Promise<string[]> {
  const { input, samplers } = RECIPES[name]
  const started = performance.now()
  log(`${name}: ${input.maxTrainSteps} steps`)
  const run = trainImmiscible({ dataset: { kind: 'digits' }, assignment, seed: 0, ...input, outputDir }, { onSetup: log })
  for await (const event of run) {
    if (event.kind === 'step' && event.step % 250 === 0) log(`${name}: step ${event.step}, loss ${event.loss?.toFixed(4)}`)
  }
  const { outcome, runFolder, step } = await run
  if (outcome !== 'finished') throw new Error(`${name}: stopped at step ${step}`)
  const minutes = ((performance.now() - started) / 60_000).toFixed(1)
  const rows: string[] = []
  for (const { name: sampler, isOnlyTold = false, ...options } of samplers) {
    const { confidentShare, untrainedShare } = await evaluateRun(runFolder, { numImages: NUM_JUDGED, ...options, onSetup: log })
    if (!isOnlyTold && confidentShare < THRESHOLD) {
      log(`${name}, ${sampler}: expected at least ${percent(THRESHOLD)} digits, got ${percent(confidentShare)}`)
      process.exitCode = 1
    }
    rows.push(`| ${name} | ${sampler} | ${percent(confidentShare)} | ${percent(untrainedShare)} | ${step} | ${minutes} |`)
  }
  return rows
}

function log(line: string): void {
  process.stderr.write(`[immiscible] ${line}\n`)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

await main()
