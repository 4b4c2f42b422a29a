/** `npm run battery`: raw Philox words, in the order in which the noise kernel consumes them, through the tests of dieharder. --quick, --control, --tests 203,204. */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { philox } from '../../ts/kernel/philox.ts'
import { STREAM } from '../../ts/random/stream.ts'

/** `-g 200`: raw words from standard input. */
const STDIN_RAW = '200'
/** Blocks in a row of noise: 3,072 normals of a 32 x 32 RGB image, one word each. */
const BLOCKS_PER_ROW = 768
const ROWS_PER_CHUNK = 64
const WORDS_PER_CHUNK = ROWS_PER_CHUNK * BLOCKS_PER_ROW * 4
const SEED = 0

interface BatteryTest {
  readonly id: number
  /** Where a test has several sizes. */
  readonly ntuples?: readonly number[]
}

const QUICK: readonly BatteryTest[] = [{ id: 0 }, { id: 2 }, { id: 15 }, { id: 100 }, { id: 101 }]
/**
 * All tests of `dieharder -l`, less those that it calls suspect (5, 6, 7) or not to be used (14), in the sizes of `dieharder -a`.
 * Only of the lags of 203 there are fewer: all 33 would read 56 thousand million words, which takes hours.
 */
const ALL: readonly BatteryTest[] = [
  ...[0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 15, 16, 17, 100, 101, 102].map((id) => ({ id })),
  { id: 200, ntuples: range(1, 12) },
  { id: 201, ntuples: range(2, 5) },
  { id: 202, ntuples: range(2, 5) },
  { id: 203, ntuples: range(0, 4) },
  ...[204, 205, 206, 207, 208, 209].map((id) => ({ id })),
]

type Words = Iterator<Uint32Array, never>

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, control: { type: 'boolean', default: false }, tests: { type: 'string' } },
})
const tests = chooseTests()
if (spawnSync('dieharder', ['-l']).error)
  stop('expected dieharder on the PATH, found none: apt-get install dieharder, or brew install dieharder')
const words = flags.control ? shortLcgWords() : philoxWords()
const counts = { PASSED: 0, WEAK: 0, FAILED: 0 }
const notPassed: string[] = []
console.log(`${flags.control ? 'control: a 16-bit linear congruential generator' : `Philox4x32-10, seed ${SEED}`}\n`)
console.log('           test    |ntup| tsamples |psamples|  p-value |Assessment')
for (const { id, ntuples } of tests) {
  for (const ntuple of ntuples ?? [undefined]) await runTest(id, ntuple)
}
console.log(`\n${counts.PASSED} passed, ${counts.WEAK} weak, ${counts.FAILED} failed`)
notPassed.forEach((line) => console.log(line))
process.exitCode = counts.FAILED > 0 ? 1 : 0

function chooseTests(): readonly BatteryTest[] {
  if (flags.tests === undefined) return flags.quick ? QUICK : ALL
  return flags.tests.split(',').map((word) => {
    const test = ALL.find(({ id }) => String(id) === word)
    return test ?? stop(`--tests: expected numbers out of ${ALL.map(({ id }) => id).join(', ')}, got ${word}`)
  })
}

function stop(message: string): never {
  console.error(message)
  process.exit(2)
}

/** One process for each test; the words go on where the one before stopped reading, up to a pipe's fill. */
async function runTest(id: number, ntuple: number | undefined): Promise<void> {
  const options = ntuple === undefined ? [] : ['-n', String(ntuple)]
  const child = spawn('dieharder', ['-g', STDIN_RAW, '-d', String(id), ...options], { stdio: ['pipe', 'pipe', 'inherit'] })
  const chunks = Readable.from(chunksOf(words), { objectMode: false, highWaterMark: 1 })
  // The child closes its end when it has seen enough.
  const fed = pipeline(chunks, child.stdin).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  })
  let numResults = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const assessment = line.match(/\|\s*(PASSED|WEAK|FAILED)\s*$/)?.[1] as keyof typeof counts | undefined
    if (!assessment) continue
    numResults++
    counts[assessment]++
    if (assessment !== 'PASSED') notPassed.push(line)
    console.log(line)
  }
  chunks.destroy()
  await fed
  if (numResults === 0) throw new Error(`expected a result of dieharder -d ${id} ${options.join(' ')}, got none`)
}

function* chunksOf(from: Words): Generator<Uint8Array> {
  for (;;) yield new Uint8Array(from.next().value.buffer)
}

/** Blocks 0 .. 767 of row 0, then of row 1, and so on: the counters and the key of ts/kernel/normal.ts. */
function* philoxWords(): Generator<Uint32Array, never> {
  for (let firstRow = 0; ; firstRow += ROWS_PER_CHUNK) {
    const chunk = new Uint32Array(WORDS_PER_CHUNK)
    let at = 0
    for (let row = firstRow; row < firstRow + ROWS_PER_CHUNK; row++) {
      for (let block = 0; block < BLOCKS_PER_ROW; block++, at += 4) philox(block, row, 0, STREAM.noise, SEED, 0, chunk, at)
    }
    yield chunk
  }
}

/** The planted fault: two outputs a word of a generator with 65,536 states. */
function* shortLcgWords(): Generator<Uint32Array, never> {
  const state = new Uint16Array(1)
  const next = (): number => (state[0] = Math.imul(state[0], 25_173) + 13_849)
  for (;;) yield new Uint32Array(WORDS_PER_CHUNK).map(() => ((next() & 0xffff) << 16) | (next() & 0xffff))
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at)
}
