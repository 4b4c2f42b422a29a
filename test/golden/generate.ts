/**
 * What must never change by accident: SHA-256 of random numbers and assignments for fixed seeds. `node test/golden/generate.ts` writes assignment.json;
 * a test compares. A changed hash is another data stream: runs of before cannot be resumed, so it needs a reason and (for random numbers) a new stream version.
 */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { assign } from '../../ts/assignment/assign.ts'
import { greedy } from '../../ts/assignment/greedy.ts'
import { independent } from '../../ts/assignment/independent.ts'
import { linear } from '../../ts/assignment/linear.ts'
import { nearest } from '../../ts/assignment/nearest.ts'
import { quantized } from '../../ts/assignment/quantized.ts'
import { plainKernel } from '../../ts/kernel/plain.ts'
import { consecutiveKeys, flips, uniforms } from '../../ts/random/sample.ts'
import { shuffledIndex } from '../../ts/random/shuffle.ts'
import { STREAM } from '../../ts/random/stream.ts'

export const GOLDEN_FILE = new URL('./assignment.json', import.meta.url)

const SEED = 20_240_617
const FIRST_SAMPLE = 2 ** 32 - 7

function sha256(array: NodeJS.TypedArray): string {
  return createHash('sha256').update(array).digest('hex')
}

function noise(rows: number, dims: number, firstSample = FIRST_SAMPLE): Float32Array<ArrayBuffer> {
  const keys = new BigUint64Array(rows)
  consecutiveKeys(firstSample, keys)
  const out = new Float32Array(rows * dims)
  plainKernel.normal(SEED, STREAM.noise, keys, dims, out)
  return out
}

export function goldenValues(): Record<string, string> {
  const values: Record<string, string> = { stream: JSON.stringify(STREAM) }

  const normals = noise(64, 3001)
  const halves = new Uint16Array(normals.length)
  plainKernel.toFloat16(normals, halves)
  const draws = new Float32Array(3 * 1000)
  uniforms(SEED, FIRST_SAMPLE, draws)
  const mirrored = new Uint8Array(1000)
  flips(SEED, FIRST_SAMPLE, mirrored)
  Object.assign(values, { normals: sha256(normals), halves: sha256(halves), uniforms: sha256(draws), flips: sha256(mirrored) })
  for (const numImages of [1, 10, 1797]) {
    values[`shuffle of ${numImages}`] = sha256(Int32Array.from({ length: numImages }, (_, position) => shuffledIndex(SEED, 3, numImages, position)))
  }

  const [rows, dims] = [96, 192]
  const floats = noise(rows, dims, 0)
  const pixels = Uint8Array.from(floats, (value) => Math.max(0, Math.min(255, Math.floor(128 + 50 * value))))
  const strategies = {
    independent: independent(),
    linear: linear(),
    'linear, l2': linear({ metric: 'l2' }),
    'linear, l2, float16': linear({ metric: 'l2', precision: 'float16' }),
    quantized: quantized(),
    greedy: greedy(),
    nearest: nearest(),
    'nearest, float16': nearest({ precision: 'float16' }),
  }
  for (const [kind, strategy] of Object.entries(strategies)) {
    for (const [name, images] of Object.entries({ floats, pixels })) {
      const fresh = noise(rows * strategy.candidatesPerImage, dims, rows)
      const { noiseIndex } = assign(strategy, { images, noise: fresh, dims })
      values[`${kind} on ${name}`] = sha256(noiseIndex)
    }
  }
  return values
}

if (import.meta.main) writeFileSync(GOLDEN_FILE, `${JSON.stringify(goldenValues(), undefined, 2)}\n`)
