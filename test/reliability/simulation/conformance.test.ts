/** The model of the worker says what the worker says: the same scripts, held with both. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TINY, temporaryFolder } from '../../e2e/run.ts'
import { testConfig } from '../../fixture/config.ts'
import { pythonPath } from '../../fixture/python.ts'
import { converseWithModel, converseWithWorker, type Life } from './conversation.ts'
import type { WorkerPlants } from './worker-model.ts'

const MINUTES = 60_000
const SEEDS = [1, 2, 3, 4, 5]

const config = testConfig({
  ...TINY,
  tracking: { reportTo: [] },
  maxTrainSteps: 4,
  checkpoint: { everySteps: 2, totalLimit: 2 },
})

/** Welcomes, and sends each step when the one before it is done. */
function serve(life: Partial<Life> & { readonly generation: number }, also: Life['react'] = () => undefined): Life {
  return {
    ...life,
    react(event, orchestrator) {
      if (event.kind === 'hello') orchestrator.welcome()
      if (event.kind === 'ready') orchestrator.send(event.step)
      if (event.kind === 'stepDone' && event.step + 1 < config.maxTrainSteps) orchestrator.send(event.step + 1)
      also(event, orchestrator)
    },
  }
}

const withHeldOut = testConfig({
  ...TINY,
  ...config,
  validation: { numImages: 12, everySteps: 3 },
  sampling: { ...config.sampling, everySteps: 3 },
})

const scripts: readonly [name: string, lives: readonly Life[], config?: typeof config][] = [
  [
    'held-out images, and as many batches as there are credits',
    [
      {
        generation: 0,
        react(event, orchestrator) {
          if (event.kind === 'hello') orchestrator.welcome()
          if (event.kind === 'ready') {
            orchestrator.send(0, { split: 'heldOut' })
            orchestrator.send(1, { split: 'heldOut', numImages: 4 })
            orchestrator.send(0)
            orchestrator.send(1)
          }
          if (event.kind === 'credit' && event.step + 2 < 4) orchestrator.send(event.step + 2)
        },
      },
    ],
    withHeldOut,
  ],
  [
    'killed; gone on with beside batches of another generation; killed, its newest checkpoint damaged; to the end; and once more',
    [
      serve({ generation: 0 }, (event, orchestrator) => {
        if (event.kind === 'stepDone' && event.step === 3) orchestrator.kill()
      }),
      serve({ generation: 1, prepare: (disk) => disk.damageNewest() }, (event, orchestrator) => {
        if (event.kind === 'ready') orchestrator.send(event.step + 1, { generation: 0 })
      }),
      serve({ generation: 2 }),
    ],
    testConfig({ ...TINY, ...config, checkpoint: { everySteps: 1, totalLimit: 2 } }),
  ],
  [
    'stop before ready, stop while it waits, stop said again and again',
    [
      serve({ generation: 0 }, (event, orchestrator) => {
        if (event.kind === 'hello') orchestrator.say({ kind: 'stop' })
      }),
      {
        generation: 1,
        react(event, orchestrator) {
          if (event.kind === 'hello') orchestrator.welcome()
          if (event.kind === 'ready') orchestrator.send(0)
          if (event.kind === 'stepDone') for (let at = 0; at < 3; at++) orchestrator.say({ kind: 'stop' })
        },
      },
    ],
  ],
  ['a batch that comes twice', [serve({ generation: 0 }, (event, orchestrator) => event.kind === 'ready' && orchestrator.send(0))]],
  [
    'a reject in the middle',
    [
      {
        generation: 0,
        react(event, orchestrator) {
          if (event.kind === 'hello') orchestrator.welcome()
          if (event.kind === 'ready') orchestrator.send(0)
          if (event.kind === 'stepDone') orchestrator.say({ kind: 'reject', code: 'x', message: 'x' })
        },
      },
    ],
  ],
  ['no place for checkpoints', [serve({ generation: 0, prepare: (disk) => disk.block() })]],
  [
    'a successor that began meanwhile',
    [serve({ generation: 0 }, (event, { disk }) => event.kind === 'stepDone' && event.step === 0 && disk.giveOut(1))],
  ],
  ['a training batch instead of held-out images', [serve({ generation: 0 })], withHeldOut],
  ['a reject', [{ generation: 0, react: (event, { say }) => event.kind === 'hello' && say({ kind: 'reject', code: 'x', message: 'x' }) }]],
  ['a welcome to another run', [{ generation: 0, react: (event, { welcome }) => event.kind === 'hello' && welcome('another') }]],
  ['a batch before the welcome', [{ generation: 0, react: (event, { send }) => event.kind === 'attach' && send(0) }]],
  ['a damaged batch', [{ generation: 0, react: (event, { send }) => event.kind === 'attach' && send(0, { isDamaged: true }) }]],
  [
    'bytes that are no command',
    [{ generation: 0, react: (event, { sayBytes }) => event.kind === 'hello' && sayBytes(Uint8Array.of(0xc1)) }],
  ],
  ['silence', [{ generation: 0, leaseSeconds: 1, react: (_event, { fallSilent }) => fallSilent() }]],
]

test.each(scripts)('%s', { timeout: 5 * MINUTES }, async (_name, lives, special = config) => {
  const worker = await converseWithWorker(pythonPath(), join(temporaryFolder(), 'run'), special, lives)
  expect(worker.length).toBeGreaterThan(4)
  for (const seed of SEEDS) expect(await converseWithModel(seed, special, lives)).toEqual(worker)
})

const planted: readonly [name: string, script: string, plants: WorkerPlants][] = [
  ['a worker that trains on any batch', 'a batch that comes twice', { takesAnyStep: true }],
  ['a worker that commits without looking at the generation', 'a successor that began meanwhile', { isUnfenced: true }],
]

test.each(planted)('control: a model of %s says something else', async (_name, script, plants) => {
  const [, lives, special = config] = scripts.find(([name]) => name === script) ?? scripts[0]
  expect(await converseWithModel(1, special, lives, plants)).not.toEqual(await converseWithModel(1, special, lives))
})
