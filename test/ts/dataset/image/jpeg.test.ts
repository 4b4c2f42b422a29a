/** JPEG by the kernel: Pillow's pixels bit for bit, in plain TypeScript and both WASM builds; what it leaves to the codec; and damaged files. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { formatOf, readJpegHeader } from '../../../../ts/dataset/image/header.ts'
import { decodeByCodec } from '../../../../ts/dataset/image/jpeg-codec.ts'
import { decodeByKernel } from '../../../../ts/dataset/image/jpeg-kernel.ts'
import type { Raster } from '../../../../ts/dataset/image/raster.ts'
import type { Kernel } from '../../../../ts/kernel/kernel.ts'
import { plainKernel } from '../../../../ts/kernel/plain.ts'
import { createSimdKernel } from '../../../../ts/kernel/simd/simd.ts'
import { damages } from '../../../fixture/dataset.ts'
import { runPython } from '../../../fixture/python.ts'

const folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
/** File to its kind; beside each are its pixels by Pillow. */
let decodable: Readonly<Record<string, string>>
/** What the kernel does not decode. */
let left: readonly string[]

const SOURCE = `
import io
from PIL import Image
rng = np.random.default_rng(9)
decodable, left = {}, []

def write(name, data):
    with open(f"{args}/{name}", "wb") as file:
        file.write(data)

def picture(width, height):
    shapes = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, rng.choice([0, 8, 90]), (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(shapes) + noise, 0, 255).astype(np.uint8))

def encode(im, **options):
    file = io.BytesIO()
    im.save(file, "JPEG", **options)
    return file.getvalue()

def add(kind, data):
    name = f"{len(decodable):03d}.jpg"
    write(name, data)
    write(f"{name}.pixels", np.asarray(Image.open(io.BytesIO(data))).tobytes())
    decodable[name] = kind

def with_frame(data, width, height, factors):
    """The same scans, said to be of another size and sampling."""
    at = next(at for at in (data.find(b"\\xff\\xc0"), data.find(b"\\xff\\xc2")) if at > 0)
    head = data[at : at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 9 : at + 10]
    parts = b"".join(bytes([data[at + 10 + 3 * c], factor, data[at + 12 + 3 * c]]) for c, factor in enumerate(factors))
    return data[:at] + head + parts + data[at + 10 + 3 * len(factors) :]

def scans_of(data):
    """Up to the first scan, and each scan with its header; without the end."""
    head, *scans = data[:-2].split(b"\\xff\\xda")
    return head, [b"\\xff\\xda" + scan for scan in scans]

for number in range(300):
    width, height = (int(side) for side in rng.integers(1, 71, 2))
    kind = rng.choice(["4:4:4", "4:2:2", "4:2:0", "gray", "rgb"], p=[0.2, 0.25, 0.3, 0.15, 0.1])
    options = {"quality": int(rng.integers(30, 101)), "progressive": bool(rng.integers(2)), "optimize": bool(rng.integers(2))}
    if rng.integers(3) == 0:
        options["restart_marker_blocks"] = int(rng.integers(1, 9))
    elif rng.integers(4) == 0:
        options["restart_marker_rows"] = 1
    if kind == "rgb":
        options |= {"keep_rgb": True, "subsampling": 0}
    elif kind != "gray":
        options["subsampling"] = kind
    im = picture(width, height)
    add(f"{kind} progressive" if options["progressive"] else str(kind), encode(im.convert("L") if kind == "gray" else im, **options))

for number in range(40):
    # Of 4:2:2 the same MCUs, standing: two blocks of luma above each other.
    across, down = (int(side) for side in rng.integers(1, 5, 2))
    progressive = bool(number % 2)
    data = encode(picture(16 * across, 8 * down), quality=80, subsampling="4:2:2", progressive=progressive)
    cut = (0, 0) if progressive else (int(rng.integers(8)), int(rng.integers(16)))
    add("4:4:0 progressive" if progressive else "4:4:0", with_frame(data, 8 * across - cut[0], 16 * down - cut[1], [0x12, 0x11, 0x11]))
    # Sampling factors that say the same: alone, or in proportion.
    add("gray", with_frame(encode(picture(across * 9, down * 7).convert("L"), quality=70), across * 9, down * 7, [0x22]))
    # A scan for each component, of another image each.
    width, height = (int(side) for side in rng.integers(1, 71, 2))
    half = ((width + 1) // 2, (height + 1) // 2)
    planes = [encode(picture(*size).convert("L"), quality=75) for size in [(width, height), half, half]]
    head, _ = scans_of(planes[0])
    at = head.index(b"\\xff\\xc0")
    frame = head[at : at + 2] + b"\\0\\x11\\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\\3\\1\\x22\\0\\2\\x11\\0\\3\\x11\\0"
    scans = b"".join(scan[:5] + bytes([c + 1]) + scan[6:] for c, plane in enumerate(planes) for scan in scans_of(plane)[1])
    add("scan by scan", head[:at] + frame + head[at + 13 :] + scans + b"\\xff\\xd9")

im = picture(37, 26)
plain, fine, progressive, gray = encode(im), encode(im, quality=95, subsampling=0), encode(im, progressive=True), encode(im.convert("L"))
restart = encode(im, restart_marker_blocks=1)
for data in [plain, fine, progressive, gray, restart]:
    add("as those that are left", data)
first_scan = plain.index(b"\\xff\\xda")
_, scans = scans_of(progressive)

def changed(data, mark, offset, value):
    at = data.index(mark) + offset
    assert data[at] != value
    return data[:at] + bytes([value]) + data[at + 1 :]

for name, data in {
    "no end": plain[:-2],
    "cut off": plain[:-40],
    "progressive cut off": progressive[:-40],
    "more before the end": plain[:-2] + b"\\x12\\x34\\xff\\xd9",
    "another restart first": restart.replace(b"\\xff\\xd0", b"\\xff\\xd1", 1),
    "a restart too many": plain[:-2] + b"\\xff\\xd0\\xff\\xd9",
    "a restart less": restart.replace(b"\\xff\\xd0", b"", 1),
    "without the last scan": progressive[: progressive.rindex(b"\\xff\\xda")] + b"\\xff\\xd9",
    "a scan twice": progressive.replace(scans[1], scans[1] * 2, 1),
    "another order of scans": progressive.replace(scans[0] + scans[1], scans[1] + scans[0], 1),
    "arithmetic": changed(plain, b"\\xff\\xc0", 1, 0xC9),
    "lossless": changed(plain, b"\\xff\\xc0", 1, 0xC3),
    "12 bits": changed(plain, b"\\xff\\xc0", 4, 12),
    "no height": with_frame(plain, 37, 0, [0x22, 0x11, 0x11]),
    "4:1:1": with_frame(plain, 37, 26, [0x41, 0x11, 0x11]),
    "more chroma than luma": with_frame(fine, 37, 26, [0x11, 0x22, 0x11]),
    "no whole proportion": with_frame(fine, 37, 26, [0x31, 0x21, 0x11]),
    "no such factor": with_frame(gray, 37, 26, [0x19]),
    "subsampled RGB": plain[:2] + b"\\xff\\xee\\0\\x0eAdobe\\0\\x64\\0\\0\\0\\0\\0" + plain[20:],
    "JFIF of another kind": changed(plain, b"JFIF", 5, 2),
    "Adobe of another kind": plain[:2] + b"\\xff\\xee\\0\\x0eAdobe\\0\\x64\\0\\0\\0\\0\\2" + plain[2:],
    "wide quantization": changed(gray, b"\\xff\\xdb", 4, 0x10),
    "no quantization": gray.replace(b"\\xff\\xdb", b"\\xff\\xfe"),
    "no Huffman table": gray.replace(b"\\xff\\xc4", b"\\xff\\xfe"),
    "too many codes": changed(gray, b"\\xff\\xc4", 5, 3),
    "another marker": plain[:2] + b"\\xff\\x01" + plain[2:],
    "bytes between": plain[:2] + b"\\0" + plain[2:],
    "a second frame": plain[:first_scan] + plain[plain.index(b"\\xff\\xc0") : plain.index(b"\\xff\\xc0") + 19] + plain[first_scan:],
    "CMYK": encode(im.convert("CMYK")),
}.items():
    write(f"left {name}.jpg", data)
    left.append(f"left {name}.jpg")
answer = {"decodable": decodable, "left": left}
`

beforeAll(async () => {
  const written = await runPython<{ decodable: Record<string, string>; left: string[] }>(SOURCE, folder)
  decodable = written.decodable
  left = written.left
})
afterAll(() => rmSync(folder, { recursive: true }))

const read = (name: string): Buffer => readFileSync(join(folder, name))
const copy = (raster: Raster): Raster => ({ ...raster, pixels: Uint8Array.from(raster.pixels) })
/** As its header says: the kernel must find the same. Throws where the decoder refuses the file unread. */
const sizeOf = (bytes: Uint8Array): { readonly width: number; readonly height: number } => {
  formatOf(bytes, 'jpeg')
  const { width, height } = readJpegHeader(bytes, 'jpeg')
  return { width, height }
}
const kernels: Readonly<Record<string, Kernel>> = {
  plain: plainKernel,
  relaxed: createSimdKernel('relaxed'),
  simd: createSimdKernel('simd'),
}

describe.each(Object.entries(kernels))('the %s kernel', (_name, kernel) => {
  test('decodes what it says it does, to the pixels of Pillow', () => {
    const seen = new Map<string, number>()
    for (const [name, kind] of Object.entries(decodable)) {
      const bytes = read(name)
      const raster = decodeByKernel(kernel, bytes, sizeOf(bytes), copy)
      expect(raster, `${name}, ${kind}`).toMatchObject(sizeOf(bytes))
      expect(Buffer.compare((raster as Raster).pixels, read(`${name}.pixels`)), `${name}, ${kind}`).toBe(0)
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
    }
    expect(seen.size).toBe(14)
    expect(Math.min(...seen.values())).toBeGreaterThan(3)
  })

  test('leaves all else', () => {
    expect(left.length).toBeGreaterThan(25)
    expect(left.filter((name) => decodeByKernel(kernel, read(name), { width: 37, height: 26 }, copy))).toEqual([])
    const bytes = read('000.jpg')
    const { width, height } = sizeOf(bytes)
    expect(decodeByKernel(kernel, bytes, { width: height + 1, height: width }, copy)).toBeUndefined()
  })
})

test('what needs too much memory is left, before any is taken', () => {
  const [name] = Object.entries(decodable).find(([, kind]) => kind === '4:2:0') as [string, string]
  const bytes = Buffer.from(read(name))
  const scope = vi.fn<() => undefined>()
  const decode = (width: number, height: number): unknown => {
    bytes.writeUInt16BE(height, bytes.indexOf('ffc0', 'hex') + 5)
    bytes.writeUInt16BE(width, bytes.indexOf('ffc0', 'hex') + 7)
    return decodeByKernel({ ...plainKernel, scope: scope as Kernel['scope'] }, bytes, { width, height }, copy)
  }
  expect(decode(6000, 4000)).toBeUndefined()
  expect(scope).not.toHaveBeenCalled()
  // Control: a photograph of 12 megapixels is not.
  decode(4000, 3000)
  expect(scope).toHaveBeenCalledOnce()
})

test('a damaged file is decoded as by the codec, or left to it', async () => {
  const outcomes = { decoded: 0, alike: 0, left: 0 }
  for (const [at, name] of Object.keys(decodable).entries()) {
    for (const { what, bytes } of damages(join(folder, name), 6, at)) {
      let size: { readonly width: number; readonly height: number }
      try {
        size = sizeOf(bytes)
      } catch {
        continue
      }
      if (size.width * size.height > 2 ** 20) continue
      const [plain, ...others] = Object.values(kernels).map((kernel) => decodeByKernel(kernel, bytes, size, copy))
      for (const other of others) expect(other, `${name} ${what}`).toEqual(plain)
      if (!plain) {
        outcomes.left++
        continue
      }
      outcomes.decoded++
      // Never what libjpeg warns of.
      const codec = await decodeByCodec(bytes, size, copy)
      expect(codec, `${name} ${what}`).toBeDefined()
      if (Buffer.compare(plain.pixels, (codec as Raster).pixels) === 0) outcomes.alike++
    }
  }
  expect(outcomes.left).toBeGreaterThan(500)
  expect(outcomes.decoded).toBeGreaterThan(300)
  // Levels far out of range, where libjpeg's own versions differ: its SIMD clips them, its C wraps them.
  expect(outcomes.alike).toBeGreaterThan(0.9 * outcomes.decoded)
})

test('the decoder takes the kernel, and the codec only for what that leaves', async () => {
  vi.resetModules()
  vi.doMock('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs', () => ({
    default: () => {
      throw new Error('the codec was asked')
    },
  }))
  try {
    const { createDecoder: createAnother } = await import('../../../../ts/dataset/image/decode.ts')
    const decoder = createAnother({ resolution: null, color: 'rgb', resizeFilter: 'bilinear' })
    for (const name of Object.keys(decodable)) await expect(decoder.decode(read(name), name)).resolves.toMatchObject(sizeOf(read(name)))
    await expect(decoder.decode(read('left 4:1:1.jpg'), '4:1:1')).rejects.toThrow('the codec was asked')
  } finally {
    vi.doUnmock('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs')
    vi.resetModules()
  }
})
