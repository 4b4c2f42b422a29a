/** What every strategy must hold to, as complaints: none where it does. Needs no test runner. */
import { solvePool, type Solution } from '../assignment/assign.ts'
import type { AssignmentStrategy } from '../assignment/assignment.ts'
import { allCases, assembleCase, normals, toPixels, type Case } from './cases.ts'

export interface CheckOptions {
  /** The strategy refuses pools without labels: it gets none. */
  readonly needsLabels?: boolean
  /** It moves noise for another reason than to bring it nearer to the images. */
  readonly movesElsewhere?: boolean
}

export type CreateStrategy = () => AssignmentStrategy

export interface Check {
  readonly name: string
  find(create: CreateStrategy, options: CheckOptions): string[]
}

/** Complaints of one check. */
const NUM_SHOWN = 5
/** Images, few enough for every permutation to be tried. */
const NUM_TRIED = 6
const NUM_CERTIFICATES = 12
/** Rounding of a certificate that was summed in float32. */
const CERTIFICATE_SLACK = 1e-4
const NUM_PLANTED = 8
/** Of the way from the noise as drawn to the planted pairs: an inverted permutation gets 0 give or take 2 %. */
const LEAST_PLANTED_SHARE = 0.1

/** Checks by name; each answers what is wrong, in words. */
export const CHECKS: readonly Check[] = [
  {
    name: 'has a name, a number of candidates and a sign',
    find: (create) => {
      // May come from JavaScript, where types promise nothing.
      const { name, candidatesPerImage, noiseSign } = create() as Partial<AssignmentStrategy>
      return [
        ...(typeof name === 'string' && name !== '' ? [] : [`name: expected a string that is not empty, got ${String(name)}`]),
        ...(Number.isInteger(candidatesPerImage) && Number(candidatesPerImage) >= 1
          ? []
          : [`candidatesPerImage: expected an integer of at least 1, got ${candidatesPerImage}`]),
        ...(noiseSign === undefined || noiseSign === 1 || noiseSign === -1
          ? []
          : [`noiseSign: expected 1 or -1, got ${String(noiseSign)}`]),
      ]
    },
  },
  {
    name: 'answers one valid noise for each image, no noise twice unless it draws candidates',
    find: (create, options) =>
      casesOf(create, options).flatMap((given) => {
        const solution = solve(create(), given)
        return 'complaint' in solution ? [`${given.name}: ${solution.complaint}`] : []
      }),
  },
  {
    name: 'gives the same answer to the same input, whatever it was asked before',
    find: (create, options) => {
      const strategy = create()
      const first = casesOf(create, options).map((given) => answerOf(strategy, given))
      const again = casesOf(create, options)
        .toReversed()
        .map((given) => answerOf(strategy, given))
        .toReversed()
      return casesOf(create, options).flatMap((given, at) => {
        const fresh = answerOf(create(), given)
        return [
          ...(again[at] === first[at] ? [] : [`${given.name}: expected the first answer again, got another`]),
          ...(fresh === first[at] ? [] : [`${given.name}: expected the same answer of a new instance, got another`]),
        ]
      })
    },
  },
  {
    name: 'writes noiseIndex and nothing else',
    find: (create, options) =>
      casesOf(create, options).flatMap((given) => {
        try {
          create().assign(given.pool, given.images, given.noise, given.noiseIndex)
        } catch (error) {
          return [`${given.name}: threw ${messageOf(error)}`]
        }
        const written = given.findWrite()
        return written === undefined ? [] : [`${given.name}: expected inputs only to be read, got a write to ${written}`]
      }),
  },
  {
    name: 'reports no smaller dual gap than there is',
    find: (create) =>
      Array.from({ length: NUM_CERTIFICATES }, (_, seed) => smallCase(seed)).flatMap((given) => {
        const strategy = create()
        if (strategy.candidatesPerImage !== 1) return []
        const solution = solve(strategy, given)
        if ('complaint' in solution || solution.report.dualGap === undefined) return []
        const products = productsOf(given)
        const reached = sumOver(products, solution.noiseIndex)
        const drawn = sumOver(
          products,
          solution.noiseIndex.map((__, image) => image),
        )
        const best = largestSum(products)
        const missed = best - reached > 1e-9 * Math.abs(best) ? (best - reached) / (best - drawn) : 0
        return missed <= solution.report.dualGap + CERTIFICATE_SLACK
          ? []
          : [
              `${given.name}: dualGap: expected at least ${missed.toFixed(4)}, the share of the gain that it misses, got ${solution.report.dualGap}`,
            ]
      }),
  },
  {
    name: 'brings noise nearer where it moves it: noiseIndex[image] is a row of the noise, not the other way round',
    find: (create, { movesElsewhere = false }) => {
      if (movesElsewhere) return []
      const strategy = create()
      const sums = { moved: 0, drawn: 0, planted: 0, reached: 0 }
      for (let seed = 0; seed < NUM_PLANTED; seed++) {
        const { given, planted } = plantedCase(seed, strategy.candidatesPerImage)
        const solution = solve(strategy, given)
        if ('complaint' in solution) return []
        const products = productsOf(given)
        const drawn = planted.map((_, image) => image * strategy.candidatesPerImage)
        sums.moved += solution.noiseIndex.filter((row, image) => row !== drawn[image]).length
        sums.drawn += sumOver(products, drawn)
        sums.planted += sumOver(products, planted)
        sums.reached += sumOver(products, solution.noiseIndex)
      }
      const share = (sums.reached - sums.drawn) / (sums.planted - sums.drawn)
      return sums.moved === 0 || share > LEAST_PLANTED_SHARE
        ? []
        : [
            `images that are noise rows in another order: expected at least ${100 * LEAST_PLANTED_SHARE} % of the gain of finding them, got ${(100 * share).toFixed(1)} %; ` +
              'is noiseIndex inverted? (movesElsewhere: true, if this is meant)',
          ]
    },
  },
  {
    name: 'names the same distinct noises for the same pool, where it has noiseKeys',
    find: (create, options) =>
      casesOf(create, options).flatMap((given) => {
        const strategy = create()
        if (!strategy.noiseKeys) return []
        const keysBy = (asked: AssignmentStrategy): BigUint64Array => {
          const keys = BigUint64Array.from({ length: given.noise.rows }, (_, row) =>
            BigInt(given.pool.firstSample * asked.candidatesPerImage + row),
          )
          asked.noiseKeys?.(given.pool, keys)
          return keys
        }
        const [first, again, fresh] = [keysBy(strategy), keysBy(strategy), keysBy(create())]
        const isSame = (keys: BigUint64Array): boolean => keys.every((key, row) => key === first[row])
        const written = given.findWrite()
        return [
          ...(isSame(again) && isSame(fresh) ? [] : [`${given.name}: noiseKeys: expected the same keys again, got others`]),
          ...(new Set(first).size === first.length ? [] : [`${given.name}: noiseKeys: expected distinct keys, got one twice`]),
          ...(written === undefined ? [] : [`${given.name}: noiseKeys: expected inputs only to be read, got a write to ${written}`]),
        ]
      }),
  },
]

/**
 * Everything that is wrong with a strategy, an empty list where nothing is.
 * @param create makes a new instance at each call
 */
export function checkStrategy(create: CreateStrategy, options: CheckOptions = {}): string[] {
  return CHECKS.flatMap((check) => runCheck(check, create, options))
}

/** One check, its first complaints; what it throws (from `create`, say) is a complaint as well. */
export function runCheck(check: Check, create: CreateStrategy, options: CheckOptions): string[] {
  try {
    const complaints = check.find(create, options)
    const numMore = complaints.length - NUM_SHOWN
    return numMore > 0 ? [...complaints.slice(0, NUM_SHOWN), `and ${numMore} more like these`] : complaints
  } catch (error) {
    return [`threw ${messageOf(error)}`]
  }
}

function casesOf(create: CreateStrategy, { needsLabels = false }: CheckOptions): Case[] {
  const { candidatesPerImage } = create()
  return allCases(Number.isInteger(candidatesPerImage) && candidatesPerImage >= 1 ? candidatesPerImage : 1, needsLabels)
}

/** By the code that runs it in training, with its checks. */
function solve(strategy: AssignmentStrategy, { pool, images, noise }: Case): Solution | { complaint: string } {
  try {
    const solution = solvePool(strategy, pool, images, noise)
    return solution.report instanceof Promise ? { complaint: 'assign: expected an answer at once, got a promise' } : solution
  } catch (error) {
    return { complaint: messageOf(error) }
  }
}

function answerOf(strategy: AssignmentStrategy, given: Case): string {
  const solution = solve(strategy, given)
  return 'complaint' in solution ? solution.complaint : JSON.stringify([[...solution.noiseIndex], solution.report])
}

/** Pixels and noise in sixteenths, which 7-bit costs hold exactly: a certificate of the rounded problem is one of the problem. One class. */
function smallCase(seed: number): Case {
  const dims = 5 + seed
  const noise = normals(100 * seed, NUM_TRIED, dims).map((value) => Math.max(-4, Math.min(3.9375, Math.round(16 * value) / 16)))
  const images = toPixels(normals(100 * seed + 50, NUM_TRIED, dims))
  return assembleCase(`${NUM_TRIED} x ${dims} pixels, certificate ${seed}`, images, noise, dims, new Int32Array(NUM_TRIED))
}

/** Images that are rows of the noise: of all noises a few places on, of an image's own candidates the last. One class. */
function plantedCase(seed: number, candidatesPerImage: number): { given: Case; planted: Int32Array } {
  const [rows, dims, shift] = [16, 32, 5]
  const noise = normals(10_000 + 1000 * seed, rows * candidatesPerImage, dims)
  const planted = Int32Array.from({ length: rows }, (_, image) =>
    candidatesPerImage === 1 ? (image + shift) % rows : (image + 1) * candidatesPerImage - 1,
  )
  const images = new Float32Array(rows * dims)
  planted.forEach((row, image) => images.set(noise.subarray(row * dims, (row + 1) * dims), image * dims))
  return { given: assembleCase(`planted pairs ${seed}`, images, noise, dims, new Int32Array(rows)), planted }
}

/** Inner products of each image with each noise, in float64. */
function productsOf({ images, noise }: Case): Float64Array[] {
  const { dims } = images
  return Array.from({ length: images.rows }, (_, image) =>
    Float64Array.from({ length: noise.rows }, (__, row) => {
      let sum = 0
      for (let d = 0; d < dims; d++) sum += (images.data[image * dims + d] * images.scale + images.offset) * noise.data[row * dims + d]
      return sum
    }),
  )
}

function sumOver(products: readonly Float64Array[], noiseIndex: Int32Array): number {
  return noiseIndex.reduce((sum, row, image) => sum + products[image][row], 0)
}

/** Of all permutations, one by one. */
function largestSum(products: readonly Float64Array[], image = 0, taken = 0): number {
  if (image === products.length) return 0
  let best = -Infinity
  for (let row = 0; row < products.length; row++) {
    if (taken & (1 << row)) continue
    best = Math.max(best, products[image][row] + largestSum(products, image + 1, taken | (1 << row)))
  }
  return best
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
