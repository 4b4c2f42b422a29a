/** Decoded images are Pillow's: every kind of PNG, JPEG and WebP, and each that is refused beside one that is not. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createDecoder, type DecodedImage, type DecoderOptions } from '../../../../ts/dataset/image/decode.ts'
import { ImmiscibleError } from '../../../../ts/errors.ts'
import { damages } from '../../../fixture/dataset.ts'
import { runPython } from '../../../fixture/python.ts'

/** RGB of each file, by Pillow, and the same after torchvision's Resize(20) and CenterCrop(20). */
interface Fixture {
  readonly width: number
  readonly height: number
}

const folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
let fixtures: Readonly<Record<string, Fixture>>

const SOURCE = `
import io, struct, zlib
from PIL import Image, ImageCms, ImageOps
rng = np.random.default_rng(3)
smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize((37, 26), Image.Resampling.BICUBIC))
noise = rng.integers(0, 256, (26, 37, 4), np.uint8)
image, gray = Image.fromarray(smooth), Image.fromarray(smooth[:, :, 1])
rgba = Image.fromarray(np.dstack([smooth, noise[:, :, 3]]))
answer = {}

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

SIGNATURE = b"\\x89PNG\\r\\n\\x1a\\n"

def png(depth, color, rows, extra=b"", width=37, height=26, interlace=0, data=None, end=chunk(b"IEND", b"")):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows) if data is None else data) + end

def rows_of(array):
    return b"".join(b"\\0" + row.tobytes() for row in array)

def write(name, data):
    with open(f"{args}/{name}", "wb") as file:
        file.write(data)

def on_white(im):
    im = im.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", im.size, (255, 255, 255, 255)), im).convert("RGB")

def expect(name, rgb):
    # torchvision.transforms: Resize(20) and CenterCrop(20) of a PIL image.
    (width, height), side = rgb.size, 20
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    small = rgb.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    small = small.crop((left, top, left + side, top + side))
    for suffix, each in [("", rgb), (".small", small)]:
        write(f"{name}{suffix}.rgb", np.asarray(each).transpose(2, 0, 1).tobytes())
        write(f"{name}{suffix}.gray", np.asarray(each.convert("L") if not suffix else small_gray(rgb, size, left, top, side)).tobytes())
    answer[name] = {"width": rgb.width, "height": rgb.height}

def small_gray(rgb, size, left, top, side):
    return rgb.convert("L").resize(size, Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))

def save(name, im, convert=lambda im: im.convert("RGB"), **options):
    im.save(f"{args}/{name}", **options)
    expect(name, convert(ImageOps.exif_transpose(Image.open(f"{args}/{name}"))))

def add(name, data, rgb=None):
    write(name, data)
    expect(name, rgb or Image.open(f"{args}/{name}").convert("RGB"))

srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Red and blue exchanged: a profile that would be seen if it were applied.
swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")

save("rgb.png", image)
save("noise.png", Image.fromarray(noise[:, :, :3]))
save("gray.png", gray)
save("bits.png", Image.fromarray(smooth[:, :, 0] > 128))
save("rgba.png", rgba, on_white)
save("graya.png", Image.merge("LA", [gray, Image.fromarray(noise[:, :, 0])]), on_white)
save("opaque.png", Image.merge("RGBA", [*image.split(), Image.new("L", image.size, 255)]))
for colors in [2, 4, 16, 200]:
    save(f"palette{colors}.png", image.quantize(colors))
save("palettea.png", image.quantize(100), on_white, transparency=bytes(range(0, 250, 5)))
save("profile.png", image, icc_profile=swapped)
sixteen = rng.integers(0, 65536, (26, 37, 4)).astype(">u2")
add("sixteen.png", png(16, 2, rows_of(sixteen[:, :, :3])))
add("sixteena.png", png(16, 6, rows_of(sixteen)), on_white(Image.fromarray((sixteen >> 8).astype(np.uint8))))
add("sixteengray.png", png(16, 0, rows_of(sixteen[:, :, 0])), Image.fromarray((sixteen[:, :, 0] >> 8).astype(np.uint8)).convert("RGB"))
for depth in [1, 2, 4]:
    values = smooth[:, :, 2] >> (8 - depth)
    packed = [sum(int(v) << (8 - depth - at * depth) for at, v in enumerate(row[start:start + 8 // depth])) for row in values for start in range(0, 37, 8 // depth)]
    add(f"gray{depth}.png", png(depth, 0, rows_of(np.array(packed, np.uint8).reshape(26, -1))))
red, green, blue = (int(v) for v in smooth[3, 4])
add("key.png", png(8, 2, rows_of(smooth), chunk(b"tRNS", struct.pack(">HHH", red, green, blue))),
    on_white(Image.fromarray(np.dstack([smooth, np.where((smooth == smooth[3, 4]).all(2), 0, 255).astype(np.uint8)]))))
passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
for width in [37, 3]:
    part = np.ascontiguousarray(smooth[:, :width])
    add(f"interlaced{width}.png", png(8, 2, b"".join(rows_of(part[y::down, x::across]) for x, y, across, down in passes if part[y::down, x::across].size), width=width, interlace=1))
add("parts.png", png(8, 2, b"", data=zlib.compress(rows_of(smooth))[:100], end=chunk(b"IDAT", zlib.compress(rows_of(smooth))[100:]) + chunk(b"tEXt", b"x\\0y") + chunk(b"IEND", b"")))
save("rgb.webp", image, lossless=True)
save("rgba.webp", rgba, on_white, lossless=True, exact=True)
save("lossy.webp", image, quality=80)
save("lossya.webp", rgba, on_white, quality=80)
save("profile.webp", image, lossless=True, icc_profile=swapped)
save("rgb.jpg", image, quality=90)
save("full.jpg", image, quality=95, subsampling=0)
save("progressive.jpg", image, quality=85, progressive=True)
save("gray.jpg", gray, quality=90)
for subsampling in range(3):
    for width, height in [(37, 26), (32, 21), (21, 35)]:
        for progressive in [False, True]:
            part = Image.fromarray(np.resize(noise[:, :, :3] // 3 + smooth // 2, (height, width, 3)))
            save(f"sampled{subsampling}-{width}-{progressive}.jpg", part, quality=70, subsampling=subsampling, progressive=progressive)
save("restart.jpg", image, quality=60, restart_marker_blocks=2)
save("low.jpg", image, quality=5)
save("best.jpg", image, quality=100, optimize=True)
save("stored-rgb.jpg", image, quality=90, keep_rgb=True)
save("progressivegray.jpg", gray, quality=80, progressive=True)
# Every block of the scan is alike, however many the sampling asks for: 4:1:0 that sharp decodes, 4:1:1 that the codec does, and 4:4:0 in other words.
flat = io.BytesIO()
Image.new("RGB", (8, 8), (128, 128, 128)).save(flat, "JPEG", subsampling=0)
header, scan = flat.getvalue().split(b"\\xff\\xda")
frame = header.index(b"\\xff\\xc0")
for name, factors in [("rare410", (0x42, 0x11, 0x11)), ("rare22", (0x22, 0x21, 0x21)), ("usual411", (0x41, 0x11, 0x11))]:
    across, down = factors[0] >> 4, factors[0] & 15
    blocks = -(-37 // (8 * across)) * -(-26 // (8 * down)) * sum((f >> 4) * (f & 15) for f in factors)
    bits = "01001010" * blocks
    described = header[: frame + 5] + struct.pack(">HHB", 26, 37, 3) + b"".join(bytes([at + 1, f, 0]) for at, f in enumerate(factors)) + header[frame + 19 :]
    add(f"{name}.jpg", described + b"\\xff\\xda\\0\\x0c\\3\\1\\0\\2\\0\\3\\0\\0\\x3f\\0" + int(bits, 2).to_bytes(blocks, "big") + b"\\xff\\xd9")
save("profile.jpg", image, quality=90, icc_profile=swapped)
save("cmyk.jpg", image.convert("CMYK"), quality=95)
adobe = open(f"{args}/cmyk.jpg", "rb").read()
at = adobe.index(b"\\xff\\xee")
add("plaincmyk.jpg", adobe[:at] + adobe[at + 2 + int.from_bytes(adobe[at + 2:at + 4], "big"):])
# CMYK's own bytes, said to be YCCK.
add("ycck.jpg", adobe[:at + 15] + b"\\2" + adobe[at + 16:])
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[274] = orientation
    for name, options in [("jpg", {"quality": 90}), ("png", {}), ("webp", {"lossless": True})]:
        save(f"turned{orientation}.{name}", image, exif=exif, **options)
    # The other byte order.
    big = b"MM\\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    save(f"big{orientation}.png", image, exif=b"Exif\\0\\0" + big)

frames = [Image.fromarray(np.roll(smooth, shift, 0)) for shift in range(3)]
for name in ["png", "webp"]:
    frames[0].save(f"{args}/animated.{name}", save_all=True, append_images=frames[1:])
    data = open(f"{args}/rgb.{name}", "rb").read()
    write(f"half.{name}", data[: len(data) // 2])
    write(f"tail.{name}", data[:-12])
for name in ["rgb", "progressive"]:
    data = open(f"{args}/{name}.jpg", "rb").read()
    write(f"half.{name}.jpg", data[: len(data) // 2])
    write(f"tail.{name}.jpg", data[:-2])
    write(f"head.{name}.jpg", data[:30])
good = open(f"{args}/rgb.png", "rb").read()
write("checksum.png", good[:60] + bytes([good[60] ^ 1]) + good[61:])
write("short.png", png(8, 2, rows_of(smooth)[:-1]))
write("long.png", png(8, 2, rows_of(smooth) + b"\\0"))
write("zlib.png", png(8, 2, b"", data=b"\\x78\\x9c" + b"\\x55" * 40))
write("filter.png", png(8, 2, b"\\7" + rows_of(smooth)[1:]))
write("nothing.png", SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 37, 26, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""))
write("depth.png", png(5, 2, rows_of(smooth)))
write("zero.png", png(8, 2, b"", width=0))
write("index.png", png(8, 3, rows_of(smooth[:, :, 0]), chunk(b"PLTE", bytes(9))))
write("apple.png", SIGNATURE + chunk(b"CgBI", b"1234") + good[8:])
write("critical.png", good[:33] + chunk(b"ABCD", b"") + good[33:])
write("bomb.png", png(8, 2, bytes(100), width=60000, height=60000))
write("huge.png", png(8, 2, bytes(100), width=2**31 - 1, height=2**31 - 1))
write("hollow.png", png(8, 2, bytes(100), width=8000, height=8000))
jpeg = open(f"{args}/rgb.jpg", "rb").read()
at = jpeg.index(b"\\xff\\xc0")
write("bomb.jpg", jpeg[: at + 5] + struct.pack(">HH", 65000, 65000) + jpeg[at + 9 :])
# After a marker without a length, another header for who reads one there.
write("hidden.jpg", b"\\xff\\xd8\\xff\\x01" + jpeg[2:].ljust(0xFFE0) + flat.getvalue()[2:])
write("twelve.jpg", jpeg[: at + 4] + b"\\x0c" + jpeg[at + 5 :])
scan = jpeg.index(b"\\xff\\xda")
write("corrupt.jpg", jpeg[: scan + 14] + b"\\xff\\xd5" * 20 + jpeg[scan + 40 :])
write("bomb.webp", b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\\xff\\xff\\xff" * 2)
write("nothing.webp", b"RIFF" + struct.pack("<I", 4) + b"WEBP")
write("empty.jpg", b"")
write("text.png", b"not an image")
write("image.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
for name in ["gif", "tiff", "bmp"]:
    image.save(f"{args}/image.{name}")
write("image.heic", b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic")
image.save(f"{args}/png-in-truth.jpg", "PNG")
`

beforeAll(async () => {
  fixtures = await runPython(SOURCE, folder)
})
afterAll(() => rmSync(folder, { recursive: true }))

const NATIVE: DecoderOptions = { resolution: null, color: 'rgb', resizeFilter: 'bilinear' }
const read = (name: string): Uint8Array => readFileSync(join(folder, name))
const decode = (name: string, options: Partial<DecoderOptions> = {}): Promise<DecodedImage> =>
  createDecoder({ ...NATIVE, ...options }).decode(read(name), name)

function distance(actual: Uint8Array, expected: Uint8Array): number {
  expect(actual.length).toBe(expected.length)
  return actual.reduce((most, level, at) => Math.max(most, Math.abs(level - expected[at])), 0)
}

/** Of each fixture: the largest difference in levels. */
async function distances(suffix: string, options: Partial<DecoderOptions>): Promise<ReadonlyMap<string, number>> {
  const names = Object.keys(fixtures)
  const entries = names.map(async (name) => [name, distance((await decode(name, options)).pixels, read(`${name}${suffix}`))] as const)
  return new Map(await Promise.all(entries))
}

/** Lossy, and decoded by another library than Pillow does. */
const isClose = (name: string): boolean => /^lossy|^(plain)?cmyk|^ycck|^rare/.test(name)
/** alpha_composite rounds otherwise. */
const isBlended = (name: string): boolean => /a\.(png|webp)$/.test(name)
const isAbove = (entries: ReadonlyMap<string, number>, limit: (name: string) => number): [string, number][] =>
  [...entries].filter(([name, levels]) => levels > limit(name))

describe('pixels', () => {
  test('of every lossless file and JPEG are exactly those of Pillow, of lossy WebP, CMYK and rare JPEGs within one level', async () => {
    const limit = (name: string): number => (isClose(name) || isBlended(name) ? 1 : 0)
    const colour = await distances('.rgb', {})
    expect(colour.size).toBeGreaterThan(85)
    expect(isAbove(colour, limit)).toEqual([])
    expect(isAbove(await distances('.gray', { color: 'gray' }), limit)).toEqual([])
  })

  test('resized and cut, as torchvision does it: exactly, or within two levels', async () => {
    const limit = (name: string): number => (isClose(name) || isBlended(name) ? 2 : 0)
    expect(isAbove(await distances('.small.rgb', { resolution: 20 }), limit)).toEqual([])
    expect(isAbove(await distances('.small.gray', { resolution: 20, color: 'gray' }), limit)).toEqual([])
    // Control: another filter is further away.
    expect(
      distance((await decode('noise.png', { resolution: 20, resizeFilter: 'box' })).pixels, read('noise.png.small.rgb')),
    ).toBeGreaterThan(9)
  })

  test('have the size of the file, turned upright', async () => {
    for (const [name, { width, height }] of Object.entries(fixtures)) expect(await decode(name)).toMatchObject({ width, height })
    expect(fixtures['turned6.jpg']).toEqual({ width: 26, height: 37 })
    expect(await decode('rgb.png', { resolution: 20 })).toMatchObject({ width: 20, height: 20 })
  })

  test('the format is what the bytes say, not the name', async () => {
    expect((await decode('png-in-truth.jpg')).pixels).toEqual((await decode('rgb.png')).pixels)
  })

  test('a centre crop comes first, and must fit', async () => {
    const whole = await decode('rgb.png')
    const { pixels } = await decode('rgb.png', { centerCrop: 24 })
    // (37 - 24) / 2 = 6.5 is rounded to the even 6.
    const row = (13 + 1) * 37 + 6
    expect(pixels.subarray(13 * 24, 14 * 24)).toEqual(whole.pixels.subarray(row, row + 24))
    await expect(decode('rgb.png', { centerCrop: 27 })).rejects.toThrow('rgb.png: expected at least 27x27, got 37x26')
  })

  test('a required size', async () => {
    await expect(decode('rgb.png', { size: { width: 37, height: 26 } })).resolves.toMatchObject({ width: 37 })
    await expect(decode('rgb.png', { size: { width: 26, height: 37 } })).rejects.toThrow('rgb.png: expected an image of 26x37, got 37x26')
  })
})

test('nothing is altered silently', async () => {
  const notes = async (names: readonly string[], options: Partial<DecoderOptions> = {}): Promise<string[]> => {
    const decoder = createDecoder({ ...NATIVE, ...options })
    for (const name of names) await decoder.decode(read(name), name)
    return decoder.notes()
  }
  expect(await notes(['rgb.png', 'rgb.jpg', 'rgb.webp', 'palette200.png', 'opaque.png', 'turned1.jpg', 'interlaced37.png'])).toEqual([])
  expect(await notes(['gray.png', 'gray.jpg'], { color: 'gray' })).toEqual([])
  expect(await notes(['rgba.png', 'rgba.webp', 'palettea.png', 'key.png'])).toEqual(['4 images with alpha blended on white'])
  expect(await notes(['gray.png', 'gray.jpg', 'bits.png'])).toEqual(['3 images in gray became three equal channels'])
  expect(await notes(['rgb.png'], { color: 'gray' })).toEqual(['1 image in colour became gray'])
  expect(await notes(['sixteen.png', 'cmyk.jpg', 'ycck.jpg', 'profile.jpg', 'profile.png', 'profile.webp'])).toEqual([
    '1 image of 16 bits cut to the high 8',
    '2 images in CMYK converted to RGB',
    '3 images with a colour profile, which is not applied',
  ])
  expect(await notes(['turned2.png', 'turned3.jpg', 'turned8.webp', 'big5.png'])).toEqual(['4 images turned by their EXIF orientation'])
  expect(await notes(['rgb.png', 'rgb.jpg'], { resolution: 27 })).toEqual(['2 images enlarged'])
  expect(await notes(['rgb.png'], { resolution: 26 })).toEqual([])
})

describe('refused, with the name of the file', () => {
  test.each([
    ['animated.png', 'expected one image, got an animated PNG'],
    ['animated.webp', 'expected one image, got an animated WebP'],
    ['half.png', 'the PNG is truncated'],
    ['tail.png', 'the PNG is truncated'],
    ['half.webp', 'the WebP is corrupt or truncated'],
    ['tail.webp', 'the WebP is corrupt or truncated'],
    ['half.rgb.jpg', 'the JPEG is corrupt or truncated: '],
    ['tail.rgb.jpg', 'the JPEG is corrupt or truncated: VipsJpeg: premature end of JPEG image'],
    ['half.progressive.jpg', 'the JPEG is corrupt or truncated'],
    ['tail.progressive.jpg', 'the JPEG is corrupt or truncated'],
    ['head.rgb.jpg', 'the JPEG is corrupt or truncated: no frame header'],
    ['corrupt.jpg', 'the JPEG is corrupt or truncated: VipsJpeg: '],
    ['twelve.jpg', 'expected a JPEG of 8 bits, got 12'],
    ['checksum.png', 'the PNG is corrupt: checksum of "IDAT"'],
    ['short.png', 'the PNG is corrupt: expected 2912 bytes, got 2911'],
    ['long.png', 'the PNG is corrupt: expected 2912 bytes, got more'],
    ['zlib.png', 'the PNG is corrupt: '],
    ['filter.png', 'the PNG is corrupt: filter 7'],
    ['nothing.png', 'the PNG is corrupt: expected 2912 bytes, got 0 compressed ones'],
    ['depth.png', 'the PNG header is corrupt: 37x26, 5 2 0 0 0'],
    ['zero.png', 'the PNG header is corrupt: 0x26'],
    ['index.png', 'is not in its palette of 3'],
    ['apple.png', 'expected a PNG that begins with IHDR, got CgBI'],
    ['critical.png', 'the PNG has the unknown chunk ABCD'],
    ['bomb.png', 'expected at most 67108864 pixels, got 60000x60000'],
    ['huge.png', 'expected at most 67108864 pixels, got 2147483647x2147483647'],
    ['hollow.png', 'the PNG is corrupt: expected 192008000 bytes, got '],
    ['bomb.jpg', 'expected at most 67108864 pixels, got 65000x65000'],
    ['bomb.webp', 'expected at most 67108864 pixels, got 16777216x16777216'],
    ['nothing.webp', 'the WebP is corrupt or truncated: no size'],
    ['empty.jpg', 'expected a PNG, JPEG or WebP file, got an empty one'],
    ['text.png', 'expected a PNG, JPEG or WebP file, got something else'],
    ['image.svg', 'expected a PNG, JPEG or WebP file, got SVG or XML'],
    ['image.gif', 'expected a PNG, JPEG or WebP file, got GIF'],
    ['image.tiff', 'expected a PNG, JPEG or WebP file, got TIFF'],
    ['image.bmp', 'expected a PNG, JPEG or WebP file, got BMP'],
    ['image.heic', 'expected a PNG, JPEG or WebP file, got HEIC or AVIF'],
  ])('%s', async (name, message) => {
    const error = await decode(name).then(
      () => 'decoded',
      (cause: Error) => cause,
    )
    expect(error).toMatchObject({ code: 'DATASET', message: expect.stringContaining(`${name}: `) as string })
    expect((error as Error).message).toContain(message)
  })

  test('the limit is of pixels, and may be another', async () => {
    await expect(decode('rgb.png', { maxPixels: 37 * 26 })).resolves.toMatchObject({ width: 37 })
    for (const name of ['rgb.png', 'rgb.jpg', 'rgb.webp'])
      await expect(decode(name, { maxPixels: 37 * 26 - 1 })).rejects.toThrow(`${name}: expected at most 961 pixels, got 37x26`)
    await expect(decode('hidden.jpg', { maxPixels: 37 * 26 - 1 })).rejects.toThrow('hidden.jpg: the JPEG is corrupt or truncated: ')
    await expect(decode('hidden.jpg')).resolves.toMatchObject({ width: 37 })
  })

  test('every file cut off anywhere is refused, or is the whole image', async () => {
    for (const name of ['palettea.png', 'rgb.webp', 'full.jpg']) {
      const bytes = read(name)
      const decoder = createDecoder(NATIVE)
      for (let length = 0; length < bytes.length; length += 29)
        await expect(decoder.decode(bytes.subarray(0, length), name)).rejects.toMatchObject({ code: 'DATASET' })
      await expect(decoder.decode(bytes, name)).resolves.toMatchObject({ width: 37, height: 26 })
    }
  })

  test('a damaged file is decoded or refused, and nothing else happens', async () => {
    let numRefused = 0
    let numDecoded = 0
    for (const name of [
      'noise.png',
      'palettea.png',
      'interlaced37.png',
      'big6.png',
      'lossya.webp',
      'turned6.webp',
      'progressive.jpg',
      'turned6.jpg',
      'cmyk.jpg',
    ]) {
      for (const { what, bytes } of damages(join(folder, name), 60, 11)) {
        const outcome = await createDecoder({ ...NATIVE, maxPixels: 2 ** 20 })
          .decode(bytes, name)
          .catch((error: unknown) => error)
        if (outcome instanceof Error) {
          numRefused++
          expect(outcome, what).toBeInstanceOf(ImmiscibleError)
          expect(outcome.message, what).toMatch(new RegExp(`^${name}: `))
        } else {
          numDecoded++
          const { pixels, width, height } = outcome as DecodedImage
          expect(pixels.length, `${name} ${what}`).toBe(width * height * 3)
        }
      }
    }
    expect(numRefused).toBeGreaterThan(300)
    expect(numDecoded).toBeGreaterThan(10)
  })
})

test('without sharp, PNG and JPEG are decoded as ever, and the error for WebP says what to install', async () => {
  vi.resetModules()
  vi.doMock('sharp', () => {
    throw new Error('Could not load the "sharp" module')
  })
  try {
    const { createDecoder: createAnother } = await import('../../../../ts/dataset/image/decode.ts')
    const decoder = createAnother(NATIVE)
    await expect(decoder.decode(read('rgb.png'), 'rgb.png')).resolves.toMatchObject({ width: 37 })
    await expect(decoder.decode(read('rgb.jpg'), 'rgb.jpg')).resolves.toMatchObject({ width: 37 })
    await expect(decoder.decode(read('rgb.webp'), 'rgb.webp')).rejects.toThrow(
      /^sharp, which decodes WebP .*cannot be loaded: .*: install it anew \(npm install --include=optional sharp\)$/,
    )
  } finally {
    vi.doUnmock('sharp')
    vi.resetModules()
  }
})
