/** `npm run study [-- --jobs 2 --folder FOLDER --publish FOLDER]`: every run of the small study that is not there yet, then its pages. */
import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatTable } from './format.ts'
import { reproduce, type Reproduction } from './reproduce.ts'
import { STUDY, summaryTable } from './study.ts'

const INTRODUCTION = `# The small study

What assigned noise does to training, on the 1,797 embedded digits of 8 x 8 pixels, with a network of some hundred thousand weights, over paired seeds. It shows what can be
shown on two cores in an hour, and is no statement about larger images. Everything here is written by one command, which goes on where it was interrupted:

<!-- not run: an hour of training -->
\`\`\`sh
npm run study -- --jobs 2
\`\`\`
`

const EXPLANATION = `Best: the lowest Fréchet distance on features of a small classifier, which is not FID, as the mean over seeds with its 95 % interval. Speed: the steps in which the baseline comes to
its best, over those in which the assigned run comes to the same value, for each seed; above 1 is faster. A baseline that is best at its last step was still improving: its best, and the speed
with it, are those of this many steps, and a run that is slower than it cannot come to its best in as many. How much slower shows the other way: the steps in which the assigned run comes to its
own best, over those in which the baseline comes to the same; there above 1 says that the baseline is faster.`

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '1' },
    folder: { type: 'string', default: join('runs', 'study') },
    publish: { type: 'string', default: join('docs', 'study') },
  },
})
const controller = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())

const parts: Reproduction[] = []
for (const { recipe, seeds } of STUDY) {
  const log = (line: string): void => void process.stderr.write(`[immiscible] ${recipe.id}: ${line}\n`)
  const outputDir = join(values.folder, recipe.id)
  parts.push(await reproduce(recipe, { seeds, outputDir, jobs: Number(values.jobs), signal: controller.signal, log }))
}

const unfinished = `${values.publish}.tmp`
rmSync(unfinished, { recursive: true, force: true })
for (const { context, report, folder, text } of parts) {
  const place = join(unfinished, context.recipe.id)
  mkdirSync(place, { recursive: true })
  const pictures = report.pictures.flatMap(({ file }) => [file, file.replace(/\.png$/, '.svg')])
  for (const file of ['report.json', ...pictures]) cpSync(join(folder, file), join(place, file))
  writeFileSync(join(place, 'README.md'), text)
}
const summary = formatTable(summaryTable(parts.map(({ context }) => context)))
const links = parts.map(
  ({ context }) =>
    `- [${context.recipe.title}](${context.recipe.id}/README.md), every number and hash in [report.json](${context.recipe.id}/report.json)`,
)
writeFileSync(join(unfinished, 'README.md'), `${INTRODUCTION}\n${summary}\n\n${EXPLANATION}\n\n${links.join('\n')}\n`)
rmSync(values.publish, { recursive: true, force: true })
renameSync(unfinished, values.publish)
process.stdout.write(`written: ${values.publish}\n`)
