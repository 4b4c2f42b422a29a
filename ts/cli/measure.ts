/** `immiscible measure`: parses, calls, prints a table and what its numbers are of. */
import type { Command } from 'commander'
import { measureRun, type MeasureOptions, type MeasureValue, type Quality } from '../index.ts'
import { inceptionOf, withInception, type InceptionFlags } from './inception.ts'
import { integer, oneOf } from './parse.ts'
import { withSampler, type SamplerFlags } from './sample.ts'
import { formatTable } from './table.ts'

interface Flags extends SamplerFlags, InceptionFlags, Pick<MeasureOptions, 'device'> {
  readonly bootstrap?: number
  readonly json?: boolean
}

/** What is published under these names; by SHA-256. */
const PUBLISHED = {
  torchscript: ['inception-2015-12-05.pt', 'f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4'],
  'torch-fidelity': ['weights-inception-2015-12-05-6726825d.pth', '6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2'],
} as const

const DEFAULT_MODE = 'legacy-tensorflow'

/** Adds the command. */
export function addMeasure(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  withInception(withSampler(program.command('measure')), DEFAULT_MODE)
    .description(
      'measure samples of a finished run beside the real images: FID and its like by an Inception file, else metrics of their own names',
    )
    .argument('<run>', 'run folder')
    .option('--seed <seed>', 'of the noise, the split of the real images and the small classifier', integer, 0)
    .option('--bootstrap <count>', 'resamples behind each interval, 0 for none; 100', integer)
    .option('--device <name>', 'auto, cuda, mps or cpu', oneOf('auto', 'cuda', 'mps', 'cpu'), 'auto')
    .option('--json', 'everything, for programs')
    .action(async (run: string, flags: Flags) => {
      const {
        inception: _file,
        inceptionSha256: _hash,
        inceptionBackend: _backend,
        inceptionMode: _mode,
        bootstrap,
        json,
        ...sampling
      } = flags
      const inception = inceptionOf(flags)
      const quality = await measureRun(run, {
        ...sampling,
        ...(inception && { inception: { mode: DEFAULT_MODE, ...inception } }),
        ...(bootstrap !== undefined && { numBootstrap: bootstrap }),
        onWarning: (message, code) => log(`warning ${code}: ${message}`),
        onSetup: log,
      })
      print(json ? JSON.stringify(quality, null, 2) : formatQuality(quality))
    })
}

/** The table, and below it what its numbers are of. */
function formatQuality({ features, featuresSha256, numImages, reference, measures }: Quality): string {
  const rows = measures.map(({ name, value, low, high, floor }) => [name, show(value), showInterval(low, high), show(floor)])
  const hash = featuresSha256 === null ? '' : `, SHA-256 ${featuresSha256}`
  const lines = [
    formatTable([['metric', 'value', '95 % interval', 'floor'], ...rows]),
    '',
    `samples: ${numImages.toLocaleString('en-US')}`,
    `reference: ${reference}`,
    `features: ${features}${hash}`,
  ]
  if (measures.some(({ floor }) => floor !== null)) lines.push('floor: the same metric of real images that are not in the reference')
  if (!measures.some(({ name }) => name === 'fid')) {
    const wanted = Object.entries(PUBLISHED).map(([backend, [file, sha256]]) => `${file} (${backend}; SHA-256 ${sha256})`)
    lines.push(`These are not FID, which wants --inception FILE --inception-sha256 HEX with ${wanted.join(' or ')}`)
  }
  return lines.join('\n')
}

function showInterval(low: MeasureValue['low'], high: MeasureValue['high']): string {
  return low === null || high === null ? '-' : `${show(low)} to ${show(high)}`
}

/** Four digits that count. */
function show(value: number | null): string {
  return value === null ? '-' : String(Number(value.toPrecision(4)))
}
