/** `npm run picture [-- FILE.svg]`: images and noises as drawn beside the same two assigned, with what real images give: docs/concept.svg. The same bytes each time. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { analyzeAssignment, assign, independent, quantized, type AssignmentStrategy } from '../index.ts'

const SEED = 0
const CENTRES = [
  [-0.8, 0.8],
  [0.8, 0.8],
  [0.8, -0.8],
  [-0.8, -0.8],
] as const
const POINTS_PER_CLUSTER = 24
const CLUSTER_STD = 0.13
const DIMS = 2
/** Pixels: the side of a panel, and what one standard deviation of the noise is in it. */
const SIDE = 350
const UNIT = 64
/** Read as well on light paper as on dark, and by the colour-blind. */
const COLOURS = ['#0e7fc0', '#d55e00', '#0b9a74', '#c565a0']

/** Row-major points. Image i is of cluster i % 4. */
interface Points {
  readonly images: Float32Array
  readonly noise: Float32Array
}

interface Panel {
  readonly noiseIndex: Int32Array
  readonly distance: number
  /** Share of the noises whose nearest other noise is paired with an image of the same cluster. */
  readonly sameShare: number
}

interface Bar {
  readonly dataset: string
  readonly batchSize: number
  /** Percent. */
  readonly change: number
  /** Standard deviations. */
  readonly gain: number
}

async function main(): Promise<void> {
  const path = process.argv[2] ?? join(import.meta.dirname, '..', '..', 'docs', 'concept.svg')
  const points = drawPoints()
  const drawn = pair(independent(), points)
  const assigned = pair(quantized(), points)
  const bars = [...(await measure('digits')), ...(await measure('emoji'))]
  const panels = [
    drawPanel(20, 'As drawn: every image meets every noise', 'drawn', points, drawn),
    drawPanel(390, 'Assigned: the same noises, paired nearby', 'assigned', points, assigned),
  ]
  writeFileSync(path, drawSvg([...panels, drawBars(765, bars)]))
  process.stdout.write(
    [
      `as drawn: mean distance ${drawn.distance.toFixed(2)}, nearest noise of the same cluster ${percent(drawn.sameShare)}`,
      `assigned: mean distance ${assigned.distance.toFixed(2)}, nearest noise of the same cluster ${percent(assigned.sameShare)}`,
      ...bars.map(
        ({ dataset, batchSize, change, gain }) => `${dataset}, ${batchSize}: distance ${signed(change)} %, gain ${gain.toFixed(2)}`,
      ),
      `written: ${path}`,
      '',
    ].join('\n'),
  )
}

function drawPoints(): Points {
  const gaussian = gaussians(SEED)
  const numbers = CENTRES.length * POINTS_PER_CLUSTER * DIMS
  const images = Float32Array.from({ length: numbers }, (_, at) => {
    const cluster = Math.floor(at / DIMS) % CENTRES.length
    return CENTRES[cluster][at % DIMS] + CLUSTER_STD * gaussian()
  })
  return { images, noise: Float32Array.from({ length: numbers }, gaussian) }
}

function pair(strategy: AssignmentStrategy, { images, noise }: Points): Panel {
  const { noiseIndex, metrics } = assign(strategy, { images, noise, dims: DIMS })
  const clusterOf = new Map([...noiseIndex].map((row, image) => [row, image % CENTRES.length]))
  const same = [...noiseIndex].filter((row) => clusterOf.get(row) === clusterOf.get(findNearestOther(noise, row)))
  return { noiseIndex, distance: metrics.postCost, sameShare: same.length / noiseIndex.length }
}

function findNearestOther(points: Float32Array, row: number): number {
  let nearest = -1
  let least = Infinity
  for (let other = 0; other < points.length / DIMS; other++) {
    const squared = (points[2 * row] - points[2 * other]) ** 2 + (points[2 * row + 1] - points[2 * other + 1]) ** 2
    if (other !== row && squared < least) [nearest, least] = [other, squared]
  }
  return nearest
}

/** Means over five seeds, as `immiscible analyze assignment` prints them. */
async function measure(kind: 'digits' | 'emoji'): Promise<Bar[]> {
  const { rows } = await analyzeAssignment({ dataset: { kind }, batchSizes: [128, 1024], strategies: ['quantized'] })
  return rows.map(({ batchSize, distanceChange, gain }) => ({
    dataset: kind,
    batchSize,
    change: 100 * distanceChange.mean,
    gain: gain.mean,
  }))
}

function drawSvg(parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 470" font-family="system-ui, sans-serif" font-size="13">
<title>Images and noises as drawn, and assigned</title>
<style>
.paper { fill: #ffffff } .frame { fill: none; stroke: #c4c9d0 } text { fill: #1c2128 } .quiet { fill: #59636e } .noise { fill: #ffffff } .image { stroke: #ffffff }
@media (prefers-color-scheme: dark) {
.paper { fill: #15191f } .frame { stroke: #444c56 } text { fill: #e6e9ee } .quiet { fill: #a0a8b3 } .noise { fill: #15191f } .image { stroke: #15191f }
}
</style>
<rect class="paper" width="1000" height="470" rx="8"/>
${parts.join('\n')}
</svg>
`
}

/** @param x of its left edge. @param id of its group, by which the test finds it. */
function drawPanel(x: number, title: string, id: string, { images, noise }: Points, { noiseIndex, distance, sameShare }: Panel): string {
  const lines: string[] = []
  const noises: string[] = []
  const dots: string[] = []
  noiseIndex.forEach((row, image) => {
    const colour = COLOURS[image % COLOURS.length]
    const [imageX, imageY] = place(images, image)
    const [noiseX, noiseY] = place(noise, row)
    lines.push(`<line x1="${imageX}" y1="${imageY}" x2="${noiseX}" y2="${noiseY}" stroke="${colour}"/>`)
    noises.push(`<circle class="noise" cx="${noiseX}" cy="${noiseY}" r="3.5" stroke="${colour}"/>`)
    dots.push(`<circle class="image" cx="${imageX}" cy="${imageY}" r="4" fill="${colour}"/>`)
  })
  return `<g id="${id}" transform="translate(${x} 50)">
<text y="-16" font-size="14" font-weight="600">${title}</text>
<rect class="frame" width="${SIDE}" height="${SIDE}" rx="4"/>
<g stroke-opacity="0.55">
${lines.join('\n')}
</g>
<g stroke-width="1.6">
${noises.join('\n')}
</g>
${dots.join('\n')}
<text y="${SIDE + 24}">mean distance <tspan font-weight="600">${distance.toFixed(2)}</tspan></text>
<text class="quiet" y="${SIDE + 44}">a noise's nearest noise has its colour: ${percent(sameShare)}</text>
</g>`
}

function place(points: Float32Array, row: number): [x: string, y: string] {
  return [(SIDE / 2 + UNIT * points[DIMS * row]).toFixed(1), (SIDE / 2 - UNIT * points[DIMS * row + 1]).toFixed(1)]
}

function drawBars(x: number, bars: readonly Bar[]): string {
  const group = (top: number, title: string, note: string, values: readonly number[], show: (value: number) => string): string => {
    const largest = Math.max(...values.map(Math.abs))
    const rows = values.map((value, at) => {
      const { dataset, batchSize } = bars[at]
      const y = top + 44 + 26 * at + (at > 1 ? 6 : 0)
      const width = ((76 * Math.abs(value)) / largest).toFixed(1)
      return `<text y="${y}">${dataset}, ${batchSize}</text>
<rect x="92" y="${y - 11}" width="${width}" height="14" rx="2" fill="${COLOURS[dataset === 'digits' ? 0 : 1]}"/>
<text x="${(98 + Number(width)).toFixed(1)}" y="${y}">${show(value)}</text>`
    })
    return `<text y="${top}" font-weight="600">${title}</text>
<text class="quiet" y="${top + 18}" font-size="12">${note}</text>
${rows.join('\n')}`
  }
  const change = bars.map((bar) => bar.change)
  const gain = bars.map((bar) => bar.gain)
  return `<g transform="translate(${x} 50)">
<text y="-16" font-size="14" font-weight="600">Real images, by batch size</text>
${group(18, 'Distance', 'change in %', change, signed)}
${group(196, 'Gain', 'of the noise along its image, in std', gain, (value) => value.toFixed(2))}
<circle class="image" cx="6" cy="${SIDE + 20}" r="4" fill="${COLOURS[0]}"/><text x="18" y="${SIDE + 24}">image</text>
<circle class="noise" cx="76" cy="${SIDE + 20}" r="3.5" stroke="${COLOURS[0]}" stroke-width="1.6"/><text x="88" y="${SIDE + 24}">its noise</text>
<text class="quiet" y="${SIDE + 44}">digits: 64 numbers; emoji: 3,072</text>
</g>`
}

/** Standard normal numbers by Box and Muller, from Mulberry32. */
function gaussians(seed: number): () => number {
  let state = seed
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)}`
}

await main()
