/** Decoding against Python's PIL loop, per core: node test/bench/decode.ts [--count 200] [--repeats 5] with IMMISCIBLE_PYTHON set. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { createDecoder, type DecoderOptions } from '../../ts/dataset/image/decode.ts'
import { decodeInOrder } from '../../ts/dataset/image/many.ts'
import { pythonPath } from '../fixture/python.ts'

const ROUNDS = 5
/** Rounds that are not counted: V8 compiles, Pillow loads its plugins. */
const WARM_UP = 3
const OPTIONS: Readonly<Record<string, DecoderOptions>> = {
  cifar: { resolution: null, color: 'rgb', resizeFilter: 'bilinear' },
  celeba: { resolution: 64, color: 'rgb', resizeFilter: 'bilinear', centerCrop: 178 },
  imagenet: { resolution: 64, color: 'rgb', resizeFilter: 'bilinear' },
}
const WHAT: Readonly<Record<string, string>> = {
  cifar: '32x32 PNG',
  celeba: '178x218 JPEG, cropped, to 64x64',
  imagenet: '500x375 JPEG, to 64x64',
}

/** CPU time of the whole process, as Python's process_time: what one core needs, however many threads share the work. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function timeOurs(folder: string, name: string): Promise<number[]> {
  const files = readdirSync(join(folder, name)).toSorted()
  const seconds: number[] = []
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    const items = files.map((file) => ({ name: file, bytes: async () => readFileSync(join(folder, name, file)) }))
    const start = cpuSeconds()
    let bytes = 0
    for await (const { data } of decodeInOrder(items, createDecoder(OPTIONS[name]))) bytes += data.length
    seconds.push((cpuSeconds() - start) / files.length)
    if (bytes === 0) throw new Error('nothing was decoded')
  }
  return seconds.slice(WARM_UP)
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

async function compare(folder: string, repeats: number): Promise<void> {
  const run = async (command: string, args: readonly string[]): Promise<number[]> => {
    const { stdout } = await promisify(execFile)(command, args, { env: { ...process.env, UV_THREADPOOL_SIZE: '1', OMP_NUM_THREADS: '1' } })
    return JSON.parse(stdout) as number[]
  }
  console.log(`${cpus()[0].model}, ${availableParallelism()} cores, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`)
  console.log('| what | ours, ms of CPU | PIL, ms of CPU | ratio |\n|---|---|---|---|')
  for (const name of Object.keys(OPTIONS)) {
    const ours: number[] = []
    const theirs: number[] = []
    // In turn, so that what else the machine does falls on both.
    for (let repeat = 0; repeat < repeats; repeat++) {
      theirs.push(
        ...(await run(pythonPath(), [join(import.meta.dirname, 'decode.py'), 'time', folder, name, String(WARM_UP), String(ROUNDS)])),
      )
      ours.push(...(await run(process.execPath, [import.meta.filename, '--ours', name, '--folder', folder])))
    }
    const [mine, other] = [median(ours), median(theirs)]
    console.log(`| ${WHAT[name]} | ${(mine * 1e3).toFixed(3)} | ${(other * 1e3).toFixed(3)} | ${(other / mine).toFixed(2)}x |`)
  }
}

const { values } = parseArgs({
  options: {
    ours: { type: 'string' },
    folder: { type: 'string' },
    count: { type: 'string', default: '200' },
    repeats: { type: 'string', default: '5' },
  },
})
if (values.ours && values.folder) console.log(JSON.stringify(await timeOurs(values.folder, values.ours)))
else {
  const parent = mkdtempSync(join(tmpdir(), 'immiscible-bench-'))
  try {
    const folder = join(parent, 'images')
    await promisify(execFile)(pythonPath(), [join(import.meta.dirname, 'decode.py'), 'write', folder, values.count])
    await compare(folder, Number(values.repeats))
  } finally {
    rmSync(parent, { recursive: true })
  }
}
