/** The controls of `kills`: a run that was killed goes on with a fault planted in its worker, and the checker finds it. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CampaignContext, Control, Scale } from './campaign.ts'
import { compareWithTruth, type Truth } from './ledger.ts'
import { isPlanDone, makePlace, setPlan, startCli, type Place } from './place.ts'

/** As worker/sitecustomize.py knows them. */
const FAULTS = ['EMA not restored', 'optimizer not restored', 'step position off by one', 'batch changed on replay']

export async function attemptControls({ folder, log }: CampaignContext, launcher: string, truth: Truth, scale: Scale): Promise<Control[]> {
  const killed = makePlace(join(folder, 'killed'), launcher)
  setPlan(killed, { phase: 'after-step', count: 33, action: 'kill both' })
  await startCli(killed).ended
  if (!isPlanDone(killed)) throw new Error('the run for the controls was not killed')
  const controls: Control[] = []
  // The first is none: without a fault nothing is found. In the short form the other runs say so.
  for (const fault of scale === 'short' ? FAULTS : [undefined, ...FAULTS]) {
    const place = copyPlace(killed, join(folder, `control-${controls.length}`))
    const cli = startCli(place, { env: fault === undefined ? {} : { HOOK_FAULT: fault } })
    const { code } = await cli.ended
    const found = code === 0 ? compareWithTruth(place, truth) : [`exit code ${code}: ${cli.said().slice(-300)}`]
    log(`planted: ${fault ?? 'nothing'}: ${found.join('; ') || 'nothing found'}`)
    controls.push({
      name: fault ?? 'no fault, nothing found',
      isCaught: fault === undefined ? found.length === 0 : code === 0 && found.length > 0,
    })
    rmSync(place.folder, { recursive: true })
  }
  return controls
}

function copyPlace(from: Place, folder: string): Place {
  const place = makePlace(folder, from.python)
  for (const name of ['run', 'ledger.jsonl']) cpSync(join(from.folder, name), join(folder, name), { recursive: true })
  return place
}
