/** `npm run bench`: the assignment against what people use, thread for thread in the same run; medians over repeats. --quick, --large, --json FILE. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { linearSumAssignment } from 'linear-sum-assignment'
import munkres from 'munkres-js'
import { ensureEnvironment } from '../../ts/worker/environment.ts'
import type { Matrix, PoolContext } from '../../ts/assignment/assignment.ts'
import { quantized } from '../../ts/assignment/quantized.ts'
import { createSimdKernel, bestSimdBuild } from '../../ts/kernel/simd/simd.ts'
import type { LargeAnswer, LargeRequest } from './large.ts'
import { draw, gainOf, type Scene } from './scenes.ts'
import { describeCpu } from './cpu.ts'
import { startCompetitors, type Competitors, type PythonRequest } from './python.ts'

const THREADS = 1
const WARM_UP_MS = 300
/** The default of the protocol. */
const TOLERANCE = 0.001

type Case = readonly [Scene, size: number, resolution: number]
const QUICK: readonly Case[] = [
  ['emoji', 256, 32],
  ['emoji', 1024, 32],
]
const CASES: readonly Case[] = [
  ...([64, 128, 256, 512, 1024].map((size) => ['emoji', size, 32]) as Case[]),
  ...([256, 1024, 2048].map((size) => ['gaussian', size, 32]) as Case[]),
  ['gaussian', 1024, 64],
]
/** With `--large`, instead of the others: pools of 3,072 dims, each side in a process of its own; minutes. The competitor solves the first size only. */
const LARGE_SIZES = [4096, 8192, 16_384]
const LARGE_SCENES: readonly Scene[] = ['gaussian', 'emoji mixtures']

export interface Row {
  bench: string
  case: string
  size: number
  dims: number
  competitor: string
  oursMs: number
  /** null, as the ratio: not run. */
  theirsMs: number | null
  /** How many times as long theirs takes. */
  ratio: number | null
  /** Share of the exact float32 gain: ours, theirs. */
  gainShare: number | null
  theirGainShare: number | null
  /** What ours certifies to have missed at most, as a share of the best gain on its costs. */
  dualGap: number | null
  /** Resident memory that the case takes of a fresh process, inputs included; null: not measured. */
  oursPeakMiB: number | null
  theirsPeakMiB: number | null
  threads: number
  repeats: number
  cpu: string
}

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, large: { type: 'boolean', default: false }, json: { type: 'string' } },
})
/** Competitors slower than this at one size are left out of the next. */
const tooSlowMs = flags.quick ? 50 : 5000
const repeats = flags.quick ? 5 : 11
const kernel = createSimdKernel()
const cpu = describeCpu()
const rows: Row[] = []
const folder = mkdtempSync(join(tmpdir(), 'immiscible-bench-'))
const dropped = new Set<string>()

console.log(`${cpu}; ${bestSimdBuild()} build; ${THREADS} thread each; medians of ${repeats}`)
const { python } = await ensureEnvironment({ extras: ['bench'], onProgress: (line) => console.error(line) })
try {
  if (flags.large) {
    for (const scene of LARGE_SCENES) for (const size of LARGE_SIZES) await benchLarge(scene, size)
  } else {
    using competitors = startCompetitors(python, THREADS)
    await benchNoise(competitors)
    for (const [name, size, resolution] of flags.quick ? QUICK : CASES) await benchAssignment(competitors, name, size, resolution)
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

async function benchAssignment(competitors: Competitors, name: Scene, size: number, resolution: number): Promise<void> {
  const dims = 3 * resolution ** 2
  const scene = new Uint8Array(size * dims)
  draw(name, size, dims, kernel, scene)
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
    const [shortfall, rowMaxima] = [arena.array(Uint16Array, size * size), arena.array(Int32Array, size)]
    const strategy = quantized({ tolerance: TOLERANCE }, kernel)
    const pool: PoolContext = { epoch: 0, firstStep: 0, firstSample: 0, sampleIndices: columns, flips: new Uint8Array(size) }
    const matrix = (data: Matrix['data']): Matrix => ({ data, rows: size, dims, scale: 1, offset: 0 })
    kernel.packPixels(pixels, x)
    kernel.packNoise(drawn, n)
    const costMs = median(() => kernel.benefitInt8(x, n, size, size, dims, benefit))
    const cost = arena.array(Int32Array, size * size)
    cost.set(benefit.map((value) => -value))
    const exactMs = size <= 2048 ? median(() => kernel.linearSum(cost, size, columns), 3) : NaN
    const solveMs = median(() => {
      const shift = kernel.shortfalls(benefit, size, size, 0, rowMaxima, shortfall)
      kernel.auction({ shortfall, rowMaxima, shift }, x, n, size, dims, TOLERANCE, columns)
    })
    const wholeMs = median(() => {
      kernel.packPixels(pixels, x)
      strategy.assign(pool, matrix(x), matrix(drawn), columns)
    })
    writeFileSync(files.benefit, benefit)
    return { costMs, exactMs, solveMs, wholeMs, columns, cost: Int32Array.from(cost) }
  })
  const ourGain = gainOf(scene, noise, dims, ours.columns)
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

/** A pool beyond what fits in passing: time, certificate and peak memory, each side in a fresh process. */
async function benchLarge(scene: Scene, size: number): Promise<void> {
  const dims = 3072
  const competitor = size === LARGE_SIZES[0] ? 'numpy matmul + scipy' : ''
  const files = { images: join(folder, 'large-images'), noise: join(folder, 'large-noise') }
  const request: LargeRequest = { scene, size, dims, ...(competitor && files) }
  const ours = JSON.parse(
    execFileSync(process.execPath, [join(import.meta.dirname, 'large.ts'), JSON.stringify(request)], { encoding: 'utf8' }),
  ) as LargeAnswer
  const row = {
    bench: 'large pool',
    case: scene,
    size,
    dims,
    competitor,
    oursMs: ours.ms,
    dualGap: ours.dualGap,
    oursPeakMiB: ours.peakMiB,
  }
  if (!competitor) return report({ ...row, theirsMs: null })
  using competitors = startCompetitors(python, THREADS)
  const theirs = await competitors.time({ competitor, size, dims, repeats: 0, ...files })
  const gainShare = ours.gain / (theirs.gain ?? NaN)
  report({ ...row, theirsMs: theirs.ms, theirsPeakMiB: theirs.peakMiB, gainShare, theirGainShare: 1 })
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
    if (once > tooSlowMs) dropped.add(competitor)
    const theirsMs = once > 500 ? once : median(solve, 3)
    report({ bench: 'solve', ...base, competitor, oursMs: solveMs, theirsMs })
  }
}

async function time(competitors: Competitors, request: PythonRequest): Promise<{ ms: number; gain: number | null } | undefined> {
  if (dropped.has(request.competitor)) return undefined
  const few = request.size >= 1024 ? Math.min(3, request.repeats) : request.repeats
  const answer = await competitors.time({ ...request, repeats: few })
  if (answer.ms > tooSlowMs) dropped.add(request.competitor)
  return answer
}

function report(row: Pick<Row, 'bench' | 'case' | 'size' | 'dims' | 'competitor' | 'oursMs' | 'theirsMs'> & Partial<Row>): void {
  const { oursMs, theirsMs } = row
  const measured = {
    gainShare: null,
    theirGainShare: null,
    dualGap: null,
    oursPeakMiB: null,
    theirsPeakMiB: null,
    threads: THREADS,
    repeats,
    cpu,
  }
  const full: Row = { ...measured, ...row, ratio: theirsMs === null ? null : theirsMs / oursMs }
  rows.push(full)
  const show = (text: string, value: number | null, digits: number, unit: string): string =>
    value === null ? '' : `${text}${value.toFixed(digits)}${unit}`
  const cells = [
    `${full.bench.padEnd(14)}${full.case.padEnd(15)}${String(full.size).padStart(5)} x ${String(full.dims).padEnd(6)}${full.competitor.padEnd(34)}`,
    `${oursMs.toFixed(2).padStart(10)} ms`,
    show(' ', theirsMs, 2, ' ms').padStart(15),
    show(' ', full.ratio, 1, 'x').padStart(9),
    show('  gain ', full.gainShare && 100 * full.gainShare, 2, ' %'),
    show('  gap ', full.dualGap && 100 * full.dualGap, 3, ' %'),
    show('  peak ', full.oursPeakMiB, 0, ' MiB'),
    show(' against ', full.theirsPeakMiB, 0, ' MiB'),
  ]
  console.log(cells.join(''))
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
