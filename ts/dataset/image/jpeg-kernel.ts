/** JPEG by the kernel: which files it decodes, and from their scans to pixels. */
import type { Arena, JpegPlane, JpegScan, Kernel, ScanComponent } from '../../kernel/kernel.ts'
import { createSaid, readSegments, type Frame, type Said, type ScanHeader } from './jpeg-markers.ts'
import type { Raster } from './raster.ts'

/** A kernel's memory never shrinks: images that need more than that are left to the codec, whose memory is let go. */
const MAX_KERNEL_BYTES = 2 ** 27
/** Coefficients of a block. */
const BLOCK = 64
/** Of sampling, and of blocks in an MCU: T.81, B.2.2 and B.2.3. */
const MAX_FACTOR = 4
const MAX_MCU_BLOCKS = 10
/** The highest bit that a scan can begin with, as libjpeg has it. */
const MAX_LOW = 13

/** Where the samples of a component are. */
interface Layout {
  /** Blocks in an MCU. */
  readonly mcuWidth: number
  readonly mcuHeight: number
  /** Pixels to a sample. */
  readonly across: number
  readonly down: number
  /** In samples. */
  readonly width: number
  readonly height: number
  readonly blocksAcross: number
  /** Where its coefficients begin and end. */
  readonly start: number
  readonly end: number
}

interface Component extends Layout {
  /** Of each coefficient in zigzag order: the lowest bit that was read; -1: none. */
  readonly lowest: Int8Array
  /** Number of its table, and the table as it was at the component's first scan. */
  readonly table: number
  quantization: Int16Array | undefined
}

/**
 * What `use` makes of the image, gray or RGB, whose pixels are the kernel's own memory. Sequential and progressive Huffman coding of 8 bits; gray, RGB, or
 * YCbCr of 4:4:4, 4:2:2, 4:4:0 and 4:2:0. undefined: any other, one of another size, and whatever libjpeg warns of, or may read in another way.
 */
export function decodeByKernel<T>(
  kernel: Kernel,
  bytes: Uint8Array,
  size: { readonly width: number; readonly height: number },
  use: (raster: Raster) => T,
): T | undefined {
  const said = createSaid()
  const first = readSegments(bytes, 2, said)
  const { frame } = said
  if (!frame || frame.width !== size.width || frame.height !== size.height) return undefined
  const layouts = layOut(frame)
  const isYcbcr = hasYcbcr(said, frame)
  if (!layouts || numBytes(bytes, frame, layouts) > MAX_KERNEL_BYTES) return undefined
  if (!isYcbcr && layouts.some(({ across, down }) => across * down > 1)) return undefined

  return kernel.scope((arena) => {
    const file = arena.place(bytes)
    const coefficients = createCoefficients(arena, layouts)
    const components = layouts.map((layout, index) => createComponent(layout, frame.components[index].table))
    for (let header = first; header !== 'end';) {
      const scan = header && beginScan(header, frame, components, said)
      const end = header && scan ? kernel.jpegScan(file, header.start, scan, coefficients) : -1
      if (end < 0) return undefined
      header = readSegments(bytes, end, said)
    }
    // libjpeg smooths what is not known to the last bit.
    if (components.some(({ lowest }) => lowest.some((bit) => bit !== 0))) return undefined
    const planes = components.map((component) => toPlane(kernel, arena, component, coefficients))
    const pixels = arena.array(Uint8Array, frame.width * frame.height * planes.length)
    kernel.jpegPixels(planes, isYcbcr, frame.width, frame.height, pixels)
    return use({ pixels, width: frame.width, height: frame.height, channels: planes.length })
  })
}

/** undefined: the first component has not most samples, or another neither as many nor half as many. */
function layOut({ width, height, components }: Frame): readonly Layout[] | undefined {
  const isPossible = components.every(({ across, down }) => across >= 1 && across <= MAX_FACTOR && down >= 1 && down <= MAX_FACTOR)
  if (width === 0 || height === 0 || (components.length !== 1 && components.length !== 3) || !isPossible) return undefined
  // Alone, it is not subsampled, whatever it says.
  const factors = components.length === 1 ? [{ across: 1, down: 1 }] : components
  const [{ across: mostAcross, down: mostDown }] = factors
  const [mcusAcross, mcusDown] = [Math.ceil(width / (8 * mostAcross)), Math.ceil(height / (8 * mostDown))]
  let end = 0
  const layouts = factors.map(({ across, down }) => {
    const start = end
    end += mcusAcross * across * mcusDown * down * BLOCK
    return {
      mcuWidth: across,
      mcuHeight: down,
      across: mostAcross / across,
      down: mostDown / down,
      width: Math.ceil((width * across) / mostAcross),
      height: Math.ceil((height * down) / mostDown),
      blocksAcross: mcusAcross * across,
      start,
      end,
    }
  })
  return layouts.every(({ across, down }) => [1, 2].includes(across) && [1, 2].includes(down)) ? layouts : undefined
}

/** The file twice, the second time without its stuffing; two bytes for a coefficient, one for its sample; pixels. */
function numBytes(file: Uint8Array, { width, height }: Frame, layouts: readonly Layout[]): number {
  return file.length * 2 + layouts[layouts.length - 1].end * 3 + width * height * layouts.length
}

/** As libjpeg decides it. */
function hasYcbcr({ isJfif, adobe }: Said, { components }: Frame): boolean {
  if (components.length === 1) return false
  if (isJfif) return true
  return adobe === undefined ? String.fromCharCode(...components.map(({ id }) => id)) !== 'RGB' : adobe === 1
}

/** Zeros. */
function createCoefficients(arena: Arena, layouts: readonly Layout[]): Int16Array {
  const coefficients = arena.array(Int16Array, layouts[layouts.length - 1].end)
  // Four at once: int16 in shared memory are filled one after the other, which would be 5 % of all the time.
  new Float64Array(coefficients.buffer, coefficients.byteOffset, coefficients.length / 4).fill(0)
  return coefficients
}

function createComponent(layout: Layout, table: number): Component {
  return { ...layout, lowest: new Int8Array(64).fill(-1), table, quantization: undefined }
}

/** What the kernel is told of the scan; its components keep what it brings them. undefined: it is not their turn, or no scan of theirs. */
function beginScan(
  header: ScanHeader,
  { width, height, isProgressive }: Frame,
  all: readonly Component[],
  said: Said,
): JpegScan | undefined {
  const { first, last, high, low } = header
  const scanned = header.components.map(({ index }) => all[index])
  for (const component of scanned) {
    component.quantization ??= said.quantization[component.table]
    if (!component.quantization || !advance(component.lowest, header, isProgressive)) return undefined
  }
  const isAlone = scanned.length === 1
  if (!isAlone && scanned.reduce((sum, { mcuWidth, mcuHeight }) => sum + mcuWidth * mcuHeight, 0) > MAX_MCU_BLOCKS) return undefined
  if (isProgressive && first > 0 && !isAlone) return undefined
  const components = scanned.map(({ start, blocksAcross, mcuWidth, mcuHeight }, at): ScanComponent => ({
    start,
    blocksAcross,
    mcuWidth: isAlone ? 1 : mcuWidth,
    mcuHeight: isAlone ? 1 : mcuHeight,
    dc: header.components[at].dc,
    ac: header.components[at].ac,
  }))
  return {
    components,
    // Alone, a component has no blocks that only fill MCUs.
    mcusAcross: isAlone ? Math.ceil(scanned[0].width / 8) : Math.ceil(width / (8 * all[0].mcuWidth)),
    mcusDown: isAlone ? Math.ceil(scanned[0].height / 8) : Math.ceil(height / (8 * all[0].mcuHeight)),
    restartInterval: said.restartInterval,
    first,
    last,
    high,
    low,
  }
}

/** false: the scan does not go on from where the coefficients are (T.81, G.1.1.1), and libjpeg warns of it, or it is none of its kind. */
function advance(lowest: Int8Array, { first, last, high, low }: ScanHeader, isProgressive: boolean): boolean {
  const isDc = first === 0
  const isKnown = isProgressive
    ? last <= 63 && first <= last && (!isDc || last === 0) && low <= MAX_LOW && (high === 0 || high === low + 1)
    : isDc && last === 63 && high === 0 && low === 0
  if (!isKnown || (!isDc && lowest[0] < 0)) return false
  const turn = lowest.subarray(first, last + 1)
  const isTurn = turn.every((bit) => bit === (high === 0 ? -1 : high))
  turn.fill(low)
  return isTurn
}

function toPlane(kernel: Kernel, arena: Arena, component: Component, coefficients: Int16Array): JpegPlane {
  const { start, end, blocksAcross, quantization, width, height, across, down } = component
  const samples = arena.array(Uint8Array, end - start)
  kernel.jpegSamples(coefficients.subarray(start, end), blocksAcross, quantization as Int16Array, samples)
  return { samples, stride: blocksAcross * 8, width, height, across, down }
}
