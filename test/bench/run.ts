/** `npm run bench`: the assignment against what people use, thread for thread in the same run; medians over repeats. --quick, --large, --json FILE. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { linearSumAssignment } from 'linear-sum-assignment'
import munkres from 'munkres-js'
import { ensureEnvironment } from '../../ts/worker/environment.ts'
import { createSimdKernel, bestSimdBuild } from '../../ts/kernel/simd/simd.ts'
import { loadEmoji } from '../../ts/dataset/emoji.ts'
import { shuffledIndex } from '../../ts/random/shuffle.ts'
import { startCompetitors, type Competitors, type PythonRequest } from './python.ts'

/** Competitors slower than this at one size are left out of the next. */
const TOO_SLOW_MS = 20_000
const THREADS = 1
const WARM_UP_MS = 300

type Case = readonly ['emoji' | 'gaussian', size: number, resolution: number]
const QUICK: readonly Case[] = [
  ['emoji', 256, 32],
  ['emoji', 1024, 32],
]
const CASES: readonly Case[] = [
  ...([64, 128, 256, 512, 1024].map((size) => ['emoji', size, 32]) as Case[]),
  ...([256, 1024, 2048].map((size) => ['gaussian', size, 32]) as Case[]),
  ['gaussian', 1024, 64],
]
/** With `--large`: minutes more, nearly all of it the competitors'. */
const LARGE: readonly Case[] = [['gaussian', 4096, 32]]

export interface Row {
  bench: string
  case: string
  size: number
  dims: number
  competitor: string
  oursMs: number
  theirsMs: number
  /** How many times as long theirs takes. */
  ratio: number
  /** Share of the exact float32 gain: ours, theirs. */
  gainShare: number | null
  theirGainShare: number | null
  threads: number
  repeats: number
  cpu: string
}

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, large: { type: 'boolean', default: false }, json: { type: 'string' } },
})
const repeats = flags.quick ? 5 : 11
const kernel = createSimdKernel()
const cpu = describeCpu()
const rows: Row[] = []
const folder = mkdtempSync(join(tmpdir(), 'immiscible-bench-'))
const dropped = new Set<string>()

console.log(`${cpu}; ${bestSimdBuild()} build; ${THREADS} thread each; medians of ${repeats}`)
const { python } = await ensureEnvironment({ extras: ['bench'], onProgress: (line) => console.error(line) })
try {
  using competitors = startCompetitors(python, THREADS)
  await benchNoise(competitors)
  for (const [name, size, resolution] of flags.quick ? QUICK : flags.large ? [...CASES, ...LARGE] : CASES) {
    await benchAssignment(competitors, name, size, resolution)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(rows, null, 2)}\n`)

async function benchNoise(competitors: Competitors): Promise<void> {
  const [size, dims] = [1024, 3072]
  const oursMs = kernel.scope((arena) => {
    const keys = arena.array(BigUint64Array, size).map((_, row) => BigInt(row))
    const out = arena.array(Float32Array, size * dims)
    return median(() => kernel.normal(0, 1, keys, dims, out))
  })
  for (const competitor of ['torch.randn', 'numpy standard_normal']) {
    const { ms } = await competitors.time({ competitor, size, dims, repeats })
    report({ bench: 'noise', case: 'float32', size, dims, competitor, oursMs, theirsMs: ms })
  }
}

async function benchAssignment(competitors: Competitors, name: 'emoji' | 'gaussian', size: number, resolution: number): Promise<void> {
  const dims = 3 * resolution ** 2
  const scene = name === 'emoji' ? emojiPixels(size) : gaussianPixels(size, dims)
  const noise = new Float32Array(size * dims)
  kernel.normal(
    7,
    1,
    BigUint64Array.from({ length: size }, (_, row) => BigInt(row)),
    dims,
    noise,
  )
  const images = Float32Array.from(scene, (pixel) => pixel / 127.5 - 1)
  const file = (what: string): string => join(folder, `${name}-${size}-${dims}-${what}`)
  const files = { images: file('images'), noise: file('noise'), benefit: file('benefit') }
  writeFileSync(files.images, images)
  writeFileSync(files.noise, noise)

  const ours = kernel.scope((arena) => {
    const pixels = arena.array(Uint8Array, scene.length)
    pixels.set(scene)
    const drawn = arena.array(Float32Array, noise.length)
    drawn.set(noise)
    const x = arena.array(Int8Array, scene.length)
    const n = arena.array(Uint8Array, noise.length)
    const benefit = arena.array(Int32Array, size * size)
    const columns = new Int32Array(size)
    const pack = (): void => {
      kernel.packPixels(pixels, x)
      kernel.packNoise(drawn, n)
    }
    pack()
    const costMs = median(() => kernel.benefitInt8(x, n, size, size, dims, benefit))
    const cost = arena.array(Int32Array, size * size)
    cost.set(benefit.map((value) => -value))
    const exactMs = size <= 2048 ? median(() => kernel.linearSum(cost, size, columns), 3) : NaN
    const solveMs = median(() => kernel.auction(benefit, size, 0.001, columns))
    const wholeMs = median(() => {
      pack()
      kernel.benefitInt8(x, n, size, size, dims, benefit)
      kernel.auction(benefit, size, 0.001, columns)
    })
    writeFileSync(files.benefit, benefit)
    return { costMs, exactMs, solveMs, wholeMs, columns, cost: Int32Array.from(cost) }
  })
  const ourGain = gainOf(images, noise, dims, ours.columns)
  const base = { case: name, size, dims }
  const ask = (competitor: string): Promise<{ ms: number; gain: number | null } | undefined> =>
    time(competitors, { competitor, size, dims, repeats, ...files })

  const exact = await ask('numpy matmul + scipy')
  const share = (gain: number | null | undefined): number | null => (exact?.gain ? (gain ?? NaN) / exact.gain : null)
  const gainShare = share(ourGain)
  const add = async (
    bench: string,
    competitor: string,
    oursMs: number,
    showGain: boolean,
    known?: { ms: number; gain: number | null },
  ): Promise<void> => {
    const theirs = known ?? (await ask(competitor))
    if (theirs && oursMs > 0)
      report({
        bench,
        ...base,
        competitor,
        oursMs,
        theirsMs: theirs.ms,
        ...(showGain && { gainShare, theirGainShare: share(theirs.gain) }),
      })
  }
  await add('cost', 'numpy float32 matmul', ours.costMs, false)
  await add('solve', 'scipy linear_sum_assignment', ours.solveMs, true)
  await add('solve', 'lapx lapjv', ours.solveMs, true)
  await add('solve exactly', 'scipy linear_sum_assignment', ours.exactMs, false)
  await add('assign', 'numpy matmul + scipy', ours.wholeMs, true, exact)
  await add('assign', 'torch.cdist + scipy', ours.wholeMs, true)
  await add('assign', 'paper: float16 broadcast + scipy', ours.wholeMs, true)
  await add('assign', 'POT ot.emd', ours.wholeMs, true)
  benchNpm(base, ours)
}

/** The assignment packages of npm, on the same integer costs. */
function benchNpm(base: { case: string; size: number; dims: number }, { solveMs, cost }: { solveMs: number; cost: Int32Array }): void {
  const { size } = base
  const matrix = (): number[][] => Array.from({ length: size }, (_, row) => Array.from(cost.subarray(row * size, (row + 1) * size)))
  const packages = {
    'npm linear-sum-assignment': () => linearSumAssignment(matrix(), { maximaze: false }),
    'npm munkres-js': () => munkres(matrix()),
  }
  for (const [competitor, solve] of Object.entries(packages)) {
    if (dropped.has(competitor) || (competitor === 'npm munkres-js' && size > 128)) continue
    const start = performance.now()
    solve()
    const once = performance.now() - start
    if (once > TOO_SLOW_MS / 4) dropped.add(competitor)
    const theirsMs = once > 500 ? once : median(solve, 3)
    report({ bench: 'solve', ...base, competitor, oursMs: solveMs, theirsMs })
  }
}

async function time(competitors: Competitors, request: PythonRequest): Promise<{ ms: number; gain: number | null } | undefined> {
  if (dropped.has(request.competitor)) return undefined
  const few = request.size >= 1024 ? Math.min(3, request.repeats) : request.repeats
  const answer = await competitors.time({ ...request, repeats: few })
  if (answer.ms > TOO_SLOW_MS / 4) dropped.add(request.competitor)
  return answer
}

function report(row: Pick<Row, 'bench' | 'case' | 'size' | 'dims' | 'competitor' | 'oursMs' | 'theirsMs'> & Partial<Row>): void {
  const full: Row = { gainShare: null, theirGainShare: null, ...row, ratio: row.theirsMs / row.oursMs, threads: THREADS, repeats, cpu }
  rows.push(full)
  const gain = full.gainShare === null ? '' : `  gain ${(100 * full.gainShare).toFixed(2)} %`
  console.log(
    `${full.bench.padEnd(14)}${full.case.padEnd(9)}${String(full.size).padStart(5)} x ${String(full.dims).padEnd(6)}${full.competitor.padEnd(34)}` +
      `${full.oursMs.toFixed(2).padStart(10)} ms ${full.theirsMs.toFixed(2).padStart(11)} ms ${full.ratio.toFixed(1).padStart(8)}x${gain}`,
  )
}

function median(work: () => unknown, times = repeats): number {
  // V8 optimises a WASM function while it runs hot: the clock starts when it has.
  for (const start = performance.now(); performance.now() - start < WARM_UP_MS;) work()
  const samples = Array.from({ length: times }, () => {
    const start = performance.now()
    work()
    return performance.now() - start
  }).toSorted((a, b) => a - b)
  return samples[times >> 1]
}

function gainOf(images: Float32Array, noise: Float32Array, dims: number, columns: Int32Array): number {
  let gain = 0
  columns.forEach((column, row) => {
    for (let d = 0; d < dims; d++) gain += images[row * dims + d] * (noise[column * dims + d] - noise[row * dims + d])
  })
  return gain
}

/** Distinct emoji in a fixed random order. */
function emojiPixels(size: number): Uint8Array {
  const emoji = loadEmoji()
  const pixels = new Uint8Array(size * 3072)
  for (let row = 0; row < size; row++) emoji.read(shuffledIndex(0, 0, emoji.numImages, row), pixels, row * 3072)
  return pixels
}

/** Independent pixels of mean 127.5 and standard deviation 64: the hardest case, all images equally far from each other. */
function gaussianPixels(size: number, dims: number): Uint8Array {
  const values = new Float32Array(size * dims)
  kernel.normal(
    11,
    2,
    BigUint64Array.from({ length: size }, (_, row) => BigInt(row)),
    dims,
    values,
  )
  return Uint8Array.from(values, (value) => Math.max(0, Math.min(255, Math.round(127.5 + 64 * value))))
}

function describeCpu(): string {
  const model = cpus()[0]?.model ?? 'unknown CPU'
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8')
    const present = text.match(/^flags\s*:\s*(.*)$/m)?.[1]?.split(' ') ?? []
    return [model, ...['avx2', 'avx_vnni', 'avx512_vnni'].filter((flag) => present.includes(flag))].join(' ')
  } catch {
    return `${model} ${process.arch}`
  }
}
