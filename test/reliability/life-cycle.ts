/** Campaign `life-cycle`: workers that hang, die, shout and stand still, signals, clocks that jump, thousands of steps. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { integers } from '../fixture/numbers.ts'
import type { Campaign, CampaignContext, Outcome, Scale } from './campaign.ts'
import { ENDURANCE_TRIALS } from './endurance.ts'
import { HANG_TRIALS } from './hangs.ts'
import { readTruth } from './ledger.ts'
import { makePlace, startCli, startForkServer } from './place.ts'
import { SIGNAL_TRIALS } from './signals.ts'
import type { Trial } from './trial.ts'

const TRIALS: readonly Trial[] = [...HANG_TRIALS, ...SIGNAL_TRIALS, ...ENDURANCE_TRIALS]
const LANES = { short: 1, quick: 2, long: 2 } as const satisfies Record<Scale, number>

export const lifeCycle: Campaign = {
  name: 'life-cycle',
  promise:
    'Memory stays bounded, a hung worker is found and a poisonous batch named, a signal saves and two end at once, clocks may jump, nobody is left behind.',
  run: attempt,
}

async function attempt(scale: Scale, { folder, python, seed, log }: CampaignContext): Promise<Outcome> {
  await using server = await startForkServer(join(folder, 'fork'), python)
  const undisturbed = makePlace(join(folder, 'truth'), server.launcher)
  const { code } = await startCli(undisturbed).ended
  if (code !== 0) throw new Error(`the undisturbed run ended with exit code ${code}`)
  const truth = readTruth(undisturbed)
  const chosen = TRIALS.filter(({ scales }) => scales.includes(scale))
  const queue = [...chosen.entries()]
  const found = new Map<Trial, readonly string[]>()
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [at, trial] = next
      const own = join(folder, `trial-${at}`)
      const place = makePlace(own, trial.isPlain ? python : server.launcher, trial.changes)
      const note = (line: string): void => log(`${trial.name}: ${line}`)
      const problems = await trial
        .run({ place, truth, scale, random: integers(seed + at), note })
        .catch((error: unknown) => [`it could not be tried: ${(error as Error).stack}`])
      found.set(trial, problems)
      log(`${trial.finds ? 'planted: ' : ''}${trial.name}: ${problems.join('; ') || 'nothing found'}`)
      if (problems.length === 0 || trial.finds) rmSync(own, { recursive: true, force: true })
    }
  }
  await Promise.all(Array.from({ length: LANES[scale] }, lane))
  const trials = chosen.filter(({ finds }) => finds === undefined)
  const problemsOf = (trial: Trial): readonly string[] => found.get(trial) ?? []
  return {
    trials: trials.length,
    faults: countByKind(trials),
    violations: trials.flatMap((trial) => problemsOf(trial).map((problem) => `seed ${seed}: ${trial.name}: ${problem}`)),
    controls: chosen.flatMap((trial) => {
      const { name, finds } = trial
      return finds ? [{ name, isCaught: problemsOf(trial).some((problem) => finds.test(problem)) }] : []
    }),
  }
}

function countByKind(trials: readonly Trial[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { kind } of trials) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
