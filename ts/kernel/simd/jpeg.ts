/** The JPEG kernels of the WASM modules: how scans, tables and planes are laid out for them. */
import { ZIGZAG } from '../jpeg-scan.ts'
import type { Kernel, NumberArray } from '../kernel.ts'

export interface JpegExports {
  jpegScanBytes(numComponents: number, numTables: number, numRuns: number, numBytes: number): number
  jpegScan(
    start: number,
    end: number,
    coefficients: number,
    scan: number,
    numComponents: number,
    ...rest: readonly [tables: number, numTables: number, orders: number, scratch: number]
  ): number
  jpegSamples(coefficients: number, numBlocks: number, blocksAcross: number, quantization: number, out: number, scratch: number): void
  jpegPixelsBytes(width: number): number
  jpegPixels(planes: number, numPlanes: number, isYcc: number, width: number, height: number, out: number, scratch: number): void
}

/** How a kernel handles its memory. */
export interface Placing {
  scope<T>(work: () => T): T
  reserve(byteLength: number): number
  place(input: NumberArray): number
  into<T>(output: NumberArray, byteLength: number, work: (at: number) => T): T
  update<T>(array: NumberArray, work: (at: number) => T): T
}

/** Of a block: 64 coefficients. */
const BLOCK_BYTES = 128
/** Zigzag, and its inverse. */
const ORDERS = Uint8Array.of(...ZIGZAG, ...ZIGZAG.map((_, place) => ZIGZAG.indexOf(place)))

export function createJpegKernels(
  wasm: JpegExports,
  { scope, reserve, place, into, update }: Placing,
): Pick<Kernel, 'jpegScan' | 'jpegSamples' | 'jpegPixels'> {
  return {
    jpegScan: (file, start, scan, coefficients) =>
      scope(() => {
        const { components, mcusAcross, mcusDown, restartInterval, first, last, high, low } = scan
        const tables = [...new Set(components.flatMap(({ dc, ac }) => [dc, ac]))]
        const described = components.flatMap((component) => [
          component.start,
          component.blocksAcross,
          component.mcuWidth,
          component.mcuHeight,
          tables.indexOf(component.dc),
          tables.indexOf(component.ac),
        ])
        const plan = place(Int32Array.of(mcusAcross, mcusDown, restartInterval, first, last, high, low, ...described))
        const placed = place(Int32Array.from(tables, place))
        const numRuns = restartInterval > 0 ? Math.ceil((mcusAcross * mcusDown) / restartInterval) : 1
        const scratchBytes = wasm.jpegScanBytes(components.length, tables.length, numRuns, file.length - start)
        const begin = place(file)
        const rest = [placed, tables.length, place(ORDERS), reserve(scratchBytes)] as const
        const marker = update(coefficients, (at) => wasm.jpegScan(begin + start, begin + file.length, at, plan, components.length, ...rest))
        return marker > 0 ? marker - begin : -1
      }),
    jpegSamples: (coefficients, blocksAcross, quantization, out) =>
      scope(() =>
        into(out, coefficients.length, (at) =>
          wasm.jpegSamples(place(coefficients), coefficients.length / 64, blocksAcross, place(quantization), at, reserve(2 * BLOCK_BYTES)),
        ),
      ),
    jpegPixels: (planes, isYcc, width, height, out) =>
      scope(() => {
        const plan = place(
          Int32Array.from(
            planes.flatMap((plane) => [place(plane.samples), plane.stride, plane.width, plane.height, plane.across, plane.down]),
          ),
        )
        into(out, width * height * planes.length, (at) =>
          // The scratch is behind the samples: what is read past the last one must be there.
          wasm.jpegPixels(plan, planes.length, isYcc ? 1 : 0, width, height, at, reserve(wasm.jpegPixelsBytes(width))),
        )
      }),
  }
}
