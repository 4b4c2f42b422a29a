/** `npm run demo`: Immiscible Diffusion on the embedded digits, a few minutes on two CPU cores, and what came of it. */
import { evaluateRun, trainImmiscible } from '../index.ts'
import { follow } from './follow.ts'

const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')

const result = await follow(
  trainImmiscible({
    dataset: { kind: 'digits' },
    objective: { kind: 'ddim' },
    assignment: { kind: 'quantized' },
    globalBatchSize: 128,
    maxTrainSteps: 2000,
    outputDir: `runs/demo-${stamp}`,
  }),
)
process.stderr.write('judging 512 samples with a small classifier trained on the real digits\n')
const { confidentShare, untrainedShare, heldOutAccuracy, threshold, numImages } = await evaluateRun(result.runFolder)
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

process.stdout.write(
  [
    '',
    `run folder    ${result.runFolder}`,
    `sample grid   ${result.samplePath ?? '(none)'}`,
    `pipeline      ${result.pipelineFolder}  (DDIMPipeline.from_pretrained loads it)`,
    ...(result.metrics
      ? [
          `assignment    gain ${result.metrics.gain.toFixed(2)}: the noise leans that many standard deviations towards its image (as drawn: ${result.metrics.preGain.toFixed(2)})`,
          `              mean image-noise distance ${(100 * result.metrics.distanceChange).toFixed(2)} %`,
        ]
      : []),
    `digits        ${percent(confidentShare)} of ${numImages} samples are one digit with probability >= ${threshold} (untrained network: ${percent(untrainedShare)};`,
    `              the classifier is right on ${percent(heldOutAccuracy)} of held-out real digits)`,
    '',
  ].join('\n'),
)
