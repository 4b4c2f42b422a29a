/** `npm run demo`: Immiscible Diffusion on the embedded digits, a few minutes on two CPU cores, and what came of it. */
import type { Command } from 'commander'
import { evaluateRun, trainImmiscible } from '../index.ts'
import { follow } from './follow.ts'

const NUM_JUDGED = 512

/** Adds the command. */
export function addDemo(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('demo')
    .description('train on the embedded digits for a few minutes and show what came of it')
    .action(async () => {
      print(await demo(log))
    })
}

/** @returns the report, as lines. */
async function demo(onSetup: (line: string) => void): Promise<string> {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
  const { outcome, runFolder, samplePath, pipelineFolder, metrics } = await follow(
    trainImmiscible(
      {
        dataset: { kind: 'digits' },
        // On 8x8 images the linear schedule spends most of its steps on noise that hides everything.
        objective: { kind: 'ddim', betaSchedule: 'squaredcos_cap_v2' },
        assignment: { kind: 'quantized' },
        optimizer: { learningRate: 0.004 },
        ema: { decay: 0.998 },
        globalBatchSize: 64,
        maxTrainSteps: 2000,
        outputDir: `runs/demo-${stamp}`,
      },
      { onSetup },
    ),
  )
  const lines = [
    '',
    `run folder    ${runFolder}${outcome === 'stopped' ? '  (stopped early)' : ''}`,
    `sample grid   ${samplePath ?? '(none)'}`,
    `pipeline      ${pipelineFolder}  (DDIMPipeline.from_pretrained loads it)`,
  ]
  if (metrics) {
    lines.push(
      `assignment    gain ${metrics.gain.toFixed(2)}: so many standard deviations the noise leans towards its image (as drawn: ${metrics.preGain.toFixed(2)})`,
      `              mean image-noise distance ${percent(metrics.distanceChange)}`,
    )
  }
  if (outcome === 'finished') {
    onSetup(`judging ${NUM_JUDGED} samples with a small classifier trained on the real digits`)
    const { confidentShare, untrainedShare, heldOutAccuracy, threshold } = await evaluateRun(runFolder, { numImages: NUM_JUDGED })
    lines.push(
      `digits        ${percent(confidentShare)} of ${NUM_JUDGED} samples are one digit with probability >= ${threshold} (untrained network: ${percent(untrainedShare)};`,
      `              the classifier is right on ${percent(heldOutAccuracy)} of held-out real digits)`,
    )
  }
  return lines.join('\n')
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
