/** Hostile bytes against what reads bytes on the TypeScript side: events, run folders, kept noise, keys. */
import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Campaign, Control, Scale } from './campaign.ts'
import type { Job, Report } from './hostile-typescript-child.ts'

const CHILD = join(import.meta.dirname, 'hostile-typescript-child.ts')
const TRIALS: Readonly<Record<Scale, readonly [numFrames: number, numFiles: number]>> = {
  short: [10_000, 240],
  quick: [150_000, 2_000],
  long: [1_200_000, 12_000],
}
/** Enough for the process itself and a frame of a mebibyte, too little for what a few bytes can declare. */
const HEAP_MIB = 96
const MOST_RSS_MIB = 256

export const hostileTypescript: Campaign = {
  name: 'hostile-typescript',
  promise:
    'Whatever bytes come as an event, or lie in a run folder, the orchestrator answers with a typed error, in bounded memory, and goes on.',
  async run(scale, { seed, folder, log }) {
    const [numFrames, numFiles] = TRIALS[scale]
    const start = (name: string, changes: Partial<Job> = {}): Promise<Report> => {
      const own = join(folder, name)
      mkdirSync(own)
      return feed({ seed, folder: own, numFrames, numFiles, hasBombs: true, decoder: 'ours', tables: 'ours', ...changes })
    }
    const plant = async (name: string, reason: RegExp, changes: Partial<Job>): Promise<Control> => {
      const { violations } = await start(name, changes)
      return { name, isCaught: violations.some((violation) => reason.test(violation)) }
    }
    const { numRefused, numAccepted, numFilesRefused, numFilesRead, rssMiB, violations } = await start('ours')
    log(
      `${numRefused} frames refused, ${numAccepted} are an event again, ${numFilesRefused} files refused, ${numFilesRead} read; ${rssMiB} MiB more`,
    )
    const few = { numFrames: 1000, numFiles: 0 }
    const controls = [
      await plant('allocates what a length declares', /the process died: .*heap/, { ...few, decoder: 'believes lengths' }),
      await plant('lets errors of msgpack and zod through', /frame \d+ .*Unexpected end of MessagePack/, {
        ...few,
        // One of them can fill its heap first.
        hasBombs: false,
        decoder: 'lets errors through',
      }),
      await plant('takes any msgpack for an event', /accepted, and is no event/, { ...few, hasBombs: false, decoder: 'checks nothing' }),
      await plant('kept noise without its hash', /kept noise: expected/, { numFrames: 0, numFiles: 200, tables: 'unchecked' }),
    ]
    return {
      trials: numFrames + numFiles,
      faults: { 'mutated frames': numFrames, 'still an event': numAccepted, 'mutated files': numFiles },
      violations,
      controls,
    }
  },
}

/** A death of the process is a violation, and so is more memory than a few frames take. */
async function feed(job: Job): Promise<Report> {
  const options = { maxBuffer: 2 ** 24, timeout: 1_200_000, killSignal: 'SIGKILL' as const }
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [`--max-old-space-size=${HEAP_MIB}`, CHILD, JSON.stringify(job)],
      options,
    )
    const report = JSON.parse(stdout) as Report
    if (report.rssMiB > MOST_RSS_MIB) report.violations.push(`expected at most ${MOST_RSS_MIB} MiB more, got ${report.rssMiB}`)
    return report
  } catch (error) {
    const { stderr = '', signal } = error as { stderr?: string; signal?: string }
    const last = /FATAL ERROR.*|^\w*Error.*/m.exec(stderr)?.[0] ?? String(signal)
    return { numRefused: 0, numAccepted: 0, numFilesRefused: 0, numFilesRead: 0, rssMiB: 0, violations: [`the process died: ${last}`] }
  }
}
