/** `immiscible runs` over real runs: one that finished, one that was stopped, one that goes on, one that was killed, one that failed. */
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { compareRuns, listRuns, resumeImmiscible, trainImmiscible, type RunSummary } from '../../ts/index.ts'
import { immiscible } from '../ts/config/load.ts'
import { eventsOf, readEvents, temporaryFolder, TINY, until } from './run.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
const STEPS = 12

test(
  'list tells what became of each, compare in what they differ; torn lines and other folders do no harm',
  { timeout: 300_000 },
  async () => {
    const root = temporaryFolder()
    const runs = join(root, 'runs')
    mkdirSync(join(runs, 'notes'), { recursive: true })
    const config = { ...TINY, maxTrainSteps: STEPS, validation: { numImages: 16, everySteps: 6 } }
    await trainImmiscible({ ...config, outputDir: join(runs, 'baseline'), assignment: 'independent' })

    const stopped = trainImmiscible({ ...config, maxTrainSteps: 100_000, outputDir: join(runs, 'deep', 'stopped') })
    for await (const event of stopped) if (event.kind === 'step' && event.step === 3) stopped.stop()
    await stopped

    const failing = { ...config, objective: { kind: 'module', module: join(root, 'broken.py') }, outputDir: join(runs, 'failed') } as const
    writeFileSync(join(root, 'broken.py'), 'def build(context):\n    raise ValueError("not today")\n')
    await expect(trainImmiscible(failing)).rejects.toThrow('not today')

    const file = join(root, 'long.json')
    writeFileSync(file, JSON.stringify({ ...config, maxTrainSteps: 100_000 }))
    const killed = spawn(process.execPath, [CLI, 'train', '--config', file, '--output-dir', join(runs, 'killed')], { stdio: 'ignore' })
    const stateOf = async (name: string): Promise<RunSummary | undefined> => (await listRuns(runs)).find((run) => run.name === name)
    await until('steps', 60, () => {
      try {
        return eventsOf(readEvents(join(runs, 'killed')), 'step').length > 4
      } catch {
        return false
      }
    })
    expect(await stateOf('killed')).toMatchObject({ state: 'running', maxTrainSteps: 100_000 })
    const gone = new Promise((resolve) => killed.once('close', resolve))
    killed.kill('SIGKILL')
    await gone
    appendFileSync(join(runs, 'killed', 'events.jsonl'), '{"kind":"step","time":17')
    appendFileSync(join(runs, 'baseline', 'events.jsonl'), '\u0000\nnull\n[]\n')

    mkdirSync(join(runs, 'old'))
    writeFileSync(join(runs, 'old', 'run.json'), '{"format":"immiscible-run/0"}')
    const unreadable: string[] = []
    const listed = await listRuns(runs, { onUnreadable: (message) => unreadable.push(message) })
    expect(unreadable).toEqual([expect.stringMatching(/old\/run\.json is not what this version writes/)])
    expect(listed.map(({ name, state }) => [name, state])).toEqual([
      ['baseline', 'finished'],
      [join('deep', 'stopped'), 'stopped'],
      ['failed', 'failed'],
      ['killed', 'interrupted'],
    ])
    const [baseline, half] = listed
    const events = eventsOf(readEvents(join(runs, 'deep', 'stopped')), 'step')
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
    expect(half.step).toBe(events.length)
    expect(half.loss).toBeCloseTo(mean(events.map(({ loss }) => loss ?? NaN)), 10)
    expect(half.gain).toBeCloseTo(mean(events.map(({ assignment }) => assignment.gain)), 10)
    expect(half.waitMs).toBeCloseTo(mean(events.map(({ timeline }) => timeline.waitMs)), 10)
    expect(half.msPerStep).toBeCloseTo(mean(events.map(({ timeline }) => timeline.waitMs + timeline.trainMs)), 10)
    expect(baseline).toMatchObject({ step: STEPS, maxTrainSteps: STEPS, strategy: 'independent', objective: 'ddim', dataset: 'digits' })
    expect(baseline.validationLoss).toBeGreaterThan(0)
    expect(half.gain).toBeGreaterThan((baseline.gain ?? 0) + 0.5)

    await resumeImmiscible(join(runs, 'deep', 'stopped'), { maxTrainSteps: half.step + 2 })
    expect(await stateOf(join('deep', 'stopped'))).toMatchObject({ state: 'finished', step: half.step + 2 })

    const { differences } = await compareRuns([join(runs, 'baseline'), join(runs, 'deep', 'stopped')])
    const paths = differences.map(({ path }) => path)
    expect(paths).toEqual(['assignment.kind', 'assignment.within', 'assignment.startStep', 'assignment.tolerance', 'maxTrainSteps'])
    expect(differences[0].values).toEqual(['independent', 'quantized'])
    expect(differences[1].values).toEqual([undefined, 'pool'])

    const table = immiscible(root, ['runs'])
    expect(table.status).toBe(0)
    expect(table.stdout.split('\n')[0].split(/ {2,}/)).toEqual([
      'run',
      'state',
      'step',
      'loss',
      'gain',
      'objective',
      'strategy',
      'started',
      'minutes',
    ])
    expect(table.stdout).toMatch(/^baseline +finished +12\/12 +\d\.\d{4} +-?\d\.\d\d +ddim +independent +20\d\d-/m)
    expect(JSON.parse(immiscible(root, ['runs', '--json']).stdout)).toEqual(JSON.parse(JSON.stringify(await listRuns(runs))))
    const compared = immiscible(root, ['runs', 'compare', 'runs/baseline', 'runs/killed'])
    expect(compared.stdout).toMatch(/^ +baseline +killed\nassignment\.kind +"independent" +"quantized"\n/)
    expect(compared.stdout).toMatch(/^held-out loss +\d\.\d{4} +(-|\d\.\d{4})\n/m)
    expect(JSON.parse(immiscible(root, ['runs', 'compare', 'runs/baseline', 'runs/killed', '--json']).stdout)).toHaveProperty('differences')

    for (const args of [
      ['runs', 'list', 'nowhere'],
      ['runs', 'compare', 'runs/notes', 'runs/baseline'],
    ]) {
      const { status, stderr } = immiscible(root, args)
      expect([status, stderr.split('\n').length]).toEqual([2, 2])
    }
    expect(immiscible(root, ['runs', 'list', 'runs/notes']).stdout).toBe('no runs in runs/notes\n')

    const grid = join(root, 'grid.png')
    const drawn = immiscible(root, [
      'sample',
      'runs/baseline',
      '--num-images',
      '3',
      '--seed',
      '4',
      '--files',
      'out',
      '--output',
      grid,
      '--json',
    ])
    const { files, grid: said } = JSON.parse(drawn.stdout) as { files: string[]; grid: string }
    expect([said, existsSync(grid)]).toEqual([grid, true])
    expect(files.map((path) => path.slice(-10))).toEqual(['000000.png', '000001.png', '000002.png'])
    expect(new Set(files.map((path) => readFileSync(path).toString('hex'))).size).toBe(3)
    for (const path of files) expect(readFileSync(path).readUInt32BE(16), 'as wide as the images of the data set').toBe(8)
    const again = immiscible(root, ['sample', 'runs/baseline', '--num-images', '3', '--seed', '4', '--files', 'again'])
    expect(again.stdout.trimEnd().split('\n')).toHaveLength(3)
    expect(readFileSync(join(root, 'again', '000002.png'))).toEqual(readFileSync(files[2]))
    const refused = immiscible(root, ['sample', 'runs/baseline', '--num-images', '1', '--files', 'out'])
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('expected an empty or new folder') as string])
  },
)
