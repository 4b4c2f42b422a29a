/** `immiscible data info`: what is in a data set, in numbers and as a picture. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import {
  ConfigError,
  ImmiscibleError,
  inspectDataset,
  writeContactSheet,
  type DatasetDetails,
  type DatasetProgress,
  type InspectInput,
  type InspectOptions,
} from '../index.ts'
import { addConfigFlags, loadFlags } from './config-flags.ts'
import { withInterrupt } from './interrupt.ts'
import { integer } from './parse.ts'
import { createProgress, type Progress } from './progress.ts'
import { formatTable } from './table.ts'

const NUM_IMAGES = 64
/** Classes that are listed without --json. */
const MAX_CLASSES = 20
/** Those that are no config's. */
const OWN_FLAGS = ['sheet', 'images', 'json']

interface Flags {
  readonly sheet?: string
  readonly images?: number
  readonly json?: boolean
}

/** Adds the command. */
export function addDataInfo(data: Command, print: (text: string) => void, log: (text: string) => void): void {
  addConfigFlags(data.command('info'), ({ path }) => path.startsWith('dataset.') || path === 'pipeline.datasetBytes')
    .description('count and measure a data set, which is decoded first where it was not')
    .argument('[name]', 'a decoded copy, as `list` names it. Default: the data set of flags and config file')
    .option('--sheet <file>', 'a PNG with images side by side, out of a fixed shuffle')
    .option('--images <count>', `on the sheet (default: ${NUM_IMAGES})`, integer)
    .option('--json', 'everything, for programs')
    .action(async (name: string | undefined, flags: Flags & Readonly<Record<string, unknown>>) => {
      const { sheet, images = NUM_IMAGES, json } = flags
      if (images < 1) throw new ImmiscibleError('CONFIG', '--images: expected at least 1, got 0')
      const { input, memory } = await chooseDataset(name, flags, log)
      const progress = createProgress(process.stderr)
      const looking = withInterrupt(async (signal) => {
        const found = await inspectDataset(input, { ...memory, ...watching(progress, log), signal })
        if (sheet !== undefined && found.dtype === 'uint8') await writeContactSheet(input, sheet, images, { memoryBytes: 0, signal })
        return found
      })
      const details = await looking.finally(() => progress.end())
      const isPixels = details.dtype === 'uint8'
      const written = sheet !== undefined && isPixels ? resolve(sheet) : null
      print(json ? JSON.stringify({ ...details, sheet: written }, null, 2) : describeDetails(details))
      if (sheet !== undefined && !json) log(isPixels ? `sheet ${written}` : 'no sheet: these are latents, which are no pixels')
    })
}

async function chooseDataset(
  name: string | undefined,
  flags: Readonly<Record<string, unknown>>,
  log: (text: string) => void,
): Promise<{ input: InspectInput; memory: InspectOptions }> {
  if (name !== undefined) {
    if (Object.keys(flags).some((flag) => !OWN_FLAGS.includes(flag))) {
      throw new ImmiscibleError('CONFIG', `info: expected the name of a decoded copy, or flags of a data set, got '${name}' and flags`)
    }
    return { input: { copy: name }, memory: {} }
  }
  // Nothing of the run itself is looked at.
  const { config, file, run } = await loadFlags({ outputDir: 'unused', ...flags }).catch((error: unknown) => {
    const isNothing =
      error instanceof ConfigError && error.problems.some(({ path, message }) => path === 'dataset' && message.endsWith('got nothing'))
    throw isNothing ? new ImmiscibleError('CONFIG', 'info: expected a data set: name a decoded copy, or give --dataset') : error
  })
  if (file !== undefined) log(`config ${file}${run === undefined ? '' : `, run ${run}`}`)
  return { input: config.dataset, memory: { memoryBytes: config.pipeline.datasetBytes } }
}

function watching(progress: Progress, log: (text: string) => void) {
  const show =
    (verb: string) =>
    ({ name, numImages, total, isDone }: DatasetProgress): void => {
      progress.show(`${verb} ${name}`, numImages, total)
      if (isDone) progress.end()
    }
  let hasWaited = false
  const onWait = (pid: number): void => {
    if (!hasWaited) log(`process ${pid} is decoding the data set: waiting for it`)
    hasWaited = true
  }
  return { onProgress: show('decoding'), onMeasure: show('measuring'), onWait }
}

function describeDetails(details: DatasetDetails): string {
  const { numImages, imageShape, dtype, classes, notes, source, licence, sha256, folder } = details
  const fields: string[][] = [
    ['name', details.name],
    ['images', numImages.toLocaleString('en-US')],
    ['shape', `${imageShape.join('x')} (channels, height, width), ${dtype}`],
    ['labels', classes.length > 0 ? `${classes.length.toLocaleString('en-US')} classes` : 'none'],
    ...(notes.length > 0 ? notes : ['decoding changed nothing']).map((note, at) => [at === 0 ? 'notes' : '', note]),
    ['source', source],
    ['licence', licence],
    ['sha256', sha256],
    ['cache', folder ?? 'none: it comes with the package'],
  ]
  return [
    formatTable([['field', 'value'], ...fields], { mayCut: false }),
    statisticsTable(details),
    ...(classes.length > 0 ? [classTable(details)] : []),
  ].join('\n\n')
}

function statisticsTable({ statistics }: DatasetDetails): string {
  const rows = statistics.flatMap(({ part, channels }) =>
    channels.map(({ mean, std, min, max }, channel) => [`${part} ${channel}`, ...[mean, std, min, max].map((value) => value.toFixed(4))]),
  )
  return formatTable([['channel', 'mean', 'std', 'min', 'max'], ...rows], { mayCut: false })
}

function classTable({ classes }: DatasetDetails): string {
  const rows = classes.map(({ name, numImages }, label) => [String(label), name, numImages.toLocaleString('en-US')])
  const listed =
    rows.length > MAX_CLASSES ? [...rows.slice(0, MAX_CLASSES - 1), ['...', `${rows.length - MAX_CLASSES + 1} more`, '']] : rows
  return formatTable([['label', 'class', 'images'], ...listed])
}
