/** `immiscible data`: the data sets that there are, and the decoded copies in the cache. */
import type { Command } from 'commander'
import {
  cleanDatasets,
  ImmiscibleError,
  listDatasets,
  verifyDatasets,
  type DatasetCheck,
  type DatasetCopy,
  type DatasetList,
  type DatasetProgress,
  type DatasetRemoval,
} from '../index.ts'
import { formatBytes } from './bytes.ts'
import { addDataEncode } from './data-encode.ts'
import { addDataFetch } from './data-fetch.ts'
import { addDataInfo } from './data-info.ts'
import { createProgress } from './progress.ts'
import { formatTable } from './table.ts'

const NAMES = 'folders of the cache, as `list` names them, or data sets: all copies of each'

/** Adds the commands. */
export function addData(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  const data = program.command('data').description('data sets: what there is, what is in it, whether it is whole')
  addList(data, print)
  addVerify(data, print)
  addDataFetch(data, print, log)
  addDataInfo(data, print, log)
  addDataEncode(data, print, log)
  addClean(data, print, log)
}

function addList(data: Command, print: (text: string) => void): void {
  data
    .command('list')
    .description('what can be trained on, and the decoded copies in the cache')
    .option('--json', 'everything, for programs')
    .action(({ json }: { json?: boolean }) => {
      const list = listDatasets()
      print(json ? JSON.stringify(list, null, 2) : describeList(list))
    })
}

const NEEDS: Readonly<Record<DatasetList['kinds'][number]['from'], string>> = {
  embedded: 'nothing: it is embedded',
  fetched: 'a download (`data fetch`), or its path',
  path: 'its path',
  object: 'an object in TypeScript',
}

function describeList({ kinds, folder, copies }: DatasetList): string {
  const rows = kinds.map(({ kind, description, from }) => [kind, description, NEEDS[from]])
  const kindTable = formatTable([['kind', 'what it is', 'needs'], ...rows], { mayCut: false })
  if (copies.length === 0) return `${kindTable}\n\nnothing is decoded yet in ${folder}`
  const copyTable = formatTable([COPY_HEADER, ...copies.map(describeCopy)], { mayCut: false })
  return `${kindTable}\n\ndecoded, in ${folder}\n${copyTable}`
}

const COPY_HEADER = ['folder', 'images', 'shape', 'classes', 'size', 'decoded']

function describeCopy({ name, contents, bytes }: DatasetCopy): string[] {
  if (!contents) return [name, 'damaged: see `data verify`', '-', '-', '-', '-']
  const { numImages, imageShape, dtype, classNames, createdAt } = contents
  const shape = `${imageShape.join('x')}${dtype === 'uint8' ? '' : ` ${dtype}`}`
  const classes = String(classNames.length || '-')
  return [name, numImages.toLocaleString('en-US'), shape, classes, formatBytes(bytes), createdAt.slice(0, 10)]
}

function addVerify(data: Command, print: (text: string) => void): void {
  data
    .command('verify')
    .description('compare decoded data sets with what was written, and downloads with their checksums; exit code 1 where one has changed')
    .argument('[names...]', `${NAMES}; default: everything`)
    .option('--json', 'everything, for programs')
    .action(async (names: string[], { json }: { json?: boolean }) => {
      const progress = createProgress(process.stderr)
      const onProgress = ({ name, numImages, total, isDone }: DatasetProgress): void => {
        progress.show(`checking ${name}`, numImages, total)
        if (isDone) progress.end()
      }
      const checks: DatasetCheck[] = []
      for await (const check of verifyDatasets(names.length > 0 ? names : undefined, { onProgress })) checks.push(check)
      print(json ? JSON.stringify(checks, null, 2) : describeChecks(checks))
      const damaged = checks.filter(({ problems }) => problems.length > 0)
      if (damaged.length > 0) throw new ImmiscibleError('DATASET', `not as written: ${damaged.map(adviseOn).join('; ')}`)
    })
}

function adviseOn({ kind, name, problems }: DatasetCheck): string {
  if (kind === 'decoded') return `${name}, which \`immiscible data clean ${name}\` removes, and it is decoded again`
  return `${name}: remove ${problems.map(({ file }) => file).join(', ')} and fetch again`
}

function describeChecks(checks: readonly DatasetCheck[]): string {
  if (checks.length === 0) return `nothing is decoded yet in ${listDatasets().folder}, and nothing downloaded`
  const rows = checks.map(({ kind, name, numImages, bytes, problems }) => [
    kind === 'decoded' ? name : `${name} (download)`,
    numImages?.toLocaleString('en-US') ?? '-',
    formatBytes(bytes),
    problems.length === 0 ? 'whole' : 'damaged',
  ])
  const bytes = checks.reduce((sum, check) => sum + check.bytes, 0)
  return [
    formatTable([['folder', 'images', 'read', 'state'], ...rows], { mayCut: false }),
    ...checks.flatMap(({ problems }) => problems.map(({ file, message }) => `${file}: ${message}`)),
    `checked ${formatBytes(bytes)}: each file by its SHA-256, or the checksum that is published; each image by its CRC-32, each label by its range`,
  ].join('\n')
}

function addClean(data: Command, print: (text: string) => void, log: (text: string) => void): void {
  data
    .command('clean')
    .description('remove decoded data sets, and what killed processes left of some; they are decoded again when they are asked for')
    .argument('[names...]', `${NAMES}; default: only what killed processes left`)
    .option('--all', 'every decoded data set')
    .option('--dry-run', 'remove nothing, and say what would be')
    .option('--json', 'everything, for programs')
    .action((names: string[], { all = false, dryRun = false, json }: { all?: boolean; dryRun?: boolean; json?: boolean }) => {
      if (all && names.length > 0) throw new ImmiscibleError('CONFIG', 'clean: expected names or --all, got both')
      const removals = cleanDatasets(all ? 'all' : names, { isDryRun: dryRun })
      print(json ? JSON.stringify(removals, null, 2) : describeRemovals(removals, dryRun))
      if (!json && !all && names.length === 0) log('decoded data sets were left: name some of `immiscible data list`, or --all')
    })
}

function describeRemovals(removals: readonly DatasetRemoval[], isDryRun: boolean): string {
  const [verb, sum] = isDryRun ? ['would remove', 'would free'] : ['removed', 'freed']
  const removed = removals.filter(({ heldBy }) => heldBy === null)
  return [
    ...removals.map(({ folder, kind, bytes, heldBy }) => {
      if (heldBy !== null)
        return `left ${folder} (${formatBytes(bytes)}${kind === 'leftover' ? ' so far' : ''}): process ${heldBy} is building it`
      return `${verb} ${folder} (${formatBytes(bytes)}${kind === 'leftover' ? ', left by a killed process' : ''})`
    }),
    `${sum} ${formatBytes(removed.reduce((total, { bytes }) => total + bytes, 0))}`,
  ].join('\n')
}
