/** Arrays as NumPy and safetensors write them: pixels in every layout, latents number by number, and what no array should be. */
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { arraysDataset } from '../../../protocol/dataset.ts'
import { openArrays } from '../../../ts/dataset/arrays.ts'
import { decodeAll, expectRefused, makeFiles, testFolder, type Files } from '../../fixture/dataset.ts'

const N = 30
const SCALE = 0.18215

let files: Files<{ readonly labels: number[] }>
const at = (...names: string[]): string => join(files.folder, ...names)

beforeAll(async () => {
  files = (await makeFiles(`
import io, json, struct, zipfile
from sklearn.datasets import load_digits
from safetensors.numpy import save_file
import torch
from safetensors.torch import save_file as save_torch
digits = load_digits()
n = ${N}
labels = digits.target[:n]
gray = (digits.images[:n] * 15).astype(np.uint8)
colour = np.stack([gray, gray // 2, 255 - gray], 1)          # nchw
gray.tofile(folder / 'gray.bin'); colour.tofile(folder / 'colour.bin')
np.save(folder / 'gray.npy', gray); np.save(folder / 'nchw.npy', colour); np.save(folder / 'nhwc.npy', colour.transpose(0, 2, 3, 1).copy()); np.save(folder / 'one.npy', gray[:, None])
np.save(folder / 'ambiguous.npy', np.concatenate([colour[:, :, :, :3]], 1)); np.save(folder / 'four.npy', np.concatenate([colour, gray[:, None]], 1))
for version in ((1, 0), (2, 0), (3, 0)):
    with open(folder / f'v{version[0]}.npy', 'wb') as file: np.lib.format.write_array(file, gray, version=version)
for dtype in ('u1', 'i1', '<u2', '>u2', '<i4', '>i4', '<i8', '>i8', '<u8', '>u8', '<u4', '<i2'): np.save(folder / f'labels-{dtype.replace("<", "l").replace(">", "b")}.npy', labels.astype(dtype))
np.save(folder / 'column.npy', labels[:, None])
np.savez(folder / 'plain.npz', images=gray, labels=labels); np.savez_compressed(folder / 'packed.npz', x=colour, y=labels.astype(np.int16))
np.savez(folder / 'train.npz', x_train=gray, y_train=labels, x_test=gray[:3], y_test=labels[:3]); np.savez(folder / 'positional.npz', gray, labels); np.savez(folder / 'odd.npz', **{'bïlder 😀': gray, 'klassen': labels})
save_file({'images': colour, 'labels': labels}, folder / 'pixels.safetensors')
random = np.random.RandomState(0)
mean, mirrored = random.randn(n, 4, 3, 2).astype(np.float32), random.randn(n, 4, 3, 2).astype(np.float32)
std, mirrored_std = np.exp(random.randn(n, 4, 3, 2)).astype(np.float32), np.exp(random.randn(n, 4, 3, 2)).astype(np.float32)
scale = np.float32(${SCALE})
np.save(folder / 'latents.npy', mean); np.save(folder / 'latents-f2.npy', mean.astype('<f2')); np.save(folder / 'latents-big.npy', mean.astype('>f4')); np.savez(folder / 'latents.npz', mean=mean, std=std, labels=labels)
(mean * scale).tofile(folder / 'mean.bin'); (mirrored * scale).tofile(folder / 'mirrored.bin'); (mean.astype('<f2').astype(np.float32) * scale).tofile(folder / 'mean-f2.bin'); (torch.from_numpy(mean) * ${SCALE}).numpy().tofile(folder / 'mean-torch.bin')
brain = torch.from_numpy(mean).to(torch.bfloat16); (brain.float() * ${SCALE}).numpy().tofile(folder / 'mean-bf16.bin')
save_torch({'mean': brain}, folder / 'bf16.safetensors', metadata={'scaling_factor': '${SCALE}'})
whole = {'mean': mean, 'std': std, 'mean_mirrored': mirrored, 'std_mirrored': mirrored_std, 'labels': labels}
def part(name, keys): save_file({key: whole[key] for key in keys}, folder / f'{name}.safetensors', metadata={'scaling_factor': '${SCALE}', 'vae': 'x'})
part('encoded', list(whole)); part('encoded-plain', ['mean', 'std', 'labels']); part('encoded-mirror', ['mean', 'mean_mirrored']); part('encoded-half', ['mean', 'std', 'mean_mirrored'])
stacked = np.stack([mean * scale, std * scale, mirrored * scale, mirrored_std * scale], 1)
stacked.tofile(folder / 'encoded.bin'); stacked[:, :2].copy().tofile(folder / 'encoded-plain.bin'); stacked[:, [0, 2]].copy().tofile(folder / 'encoded-mirror.bin'); stacked[:, 0].copy().tofile(folder / 'encoded-mean.bin')
# Larger than what is read at a time.
big = random.randint(0, 256, (40, 512, 300, 1), np.uint8); np.save(folder / 'big.npy', big)

# All halves.
halves = np.arange(65536, dtype=np.uint16).view(np.float16); finite = halves[np.isfinite(halves)]; finite = finite[:len(finite) // 64 * 64].reshape(-1, 4, 4, 4)
np.save(folder / 'halves.npy', finite); finite.astype(np.float32).tofile(folder / 'halves.bin')

# What is refused.
np.save(folder / 'fortran.npy', np.asfortranarray(gray)); np.save(folder / 'float64.npy', mean.astype(np.float64)); np.save(folder / 'int64.npy', gray.astype(np.int64)); np.save(folder / 'bool.npy', gray > 7)
np.save(folder / 'flat.npy', gray.reshape(n, -1)); np.save(folder / 'empty.npy', gray[:0]); np.save(folder / 'thin.npy', gray[:, :0]); np.save(folder / 'scalar.npy', np.uint8(1))
np.save(folder / 'objects.npy', np.array([{}] * n, dtype=object), allow_pickle=True); np.save(folder / 'structured.npy', np.zeros(n, dtype=[('a', 'u1'), ('b', 'u1')])); np.save(folder / 'text.npy', np.array(['a'] * n))
for name, value in (('nan', np.nan), ('inf', -np.inf)):
    wrong = mean.copy(); wrong[7, 1, 2, 0] = value; np.save(folder / f'{name}.npy', wrong)
save_file({'mean': mean, 'std': -std}, folder / 'negative.safetensors', metadata={'scaling_factor': '1'}); save_file({'mean': mean, 'std': std[:, :1]}, folder / 'unlike.safetensors', metadata={'scaling_factor': '1'})
save_file({'mean': mean}, folder / 'unscaled.safetensors')
for factor in ('0', '-1', 'nan', 'inf', 'x', ' '): save_file({'mean': mean}, folder / f'factor-{ord(factor[0])}.safetensors', metadata={'scaling_factor': factor})
np.save(folder / 'float-labels.npy', labels.astype(np.float32)); np.save(folder / 'few-labels.npy', labels[:-1]); np.save(folder / 'hot-labels.npy', np.eye(10, dtype=np.uint8)[labels]); np.save(folder / 'negative-labels.npy', labels - 1); np.save(folder / 'huge-labels.npy', np.full(n, 2**62))
np.savez(folder / 'nothing.npz', a=gray); (folder / 'nothing.safetensors').write_bytes(struct.pack('<Q', 2) + b'{}')
with zipfile.ZipFile(folder / 'no-npy.npz', 'w') as archive: archive.writestr('images.npy', b'not an array')
def npy(name, text, data=bytes(64), version=1):
    header = text.encode('utf8') + b'\\n'
    (folder / f'{name}.npy').write_bytes(b'\\x93NUMPY' + bytes([version, 0]) + (struct.pack('<H', len(header)) if version == 1 else struct.pack('<I', len(header))) + header + data)
npy('header-fine', "{'shape': (4, 4, 4), 'fortran_order': False, 'descr': '|u1'}")
npy('header-call', "{'descr': '|u1', 'fortran_order': __import__('os').system('true'), 'shape': (4, 4, 4), }")
npy('header-twice', "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, 4), }"); npy('header-more', "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, 4), 'x': 1}")
npy('header-less', "{'descr': '|u1', 'shape': (4, 4, 4), }"); npy('header-negative', "{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -4, 4), }"); npy('header-after', "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, 4), } + 1")
npy('header-immense', "{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 999999999999, 999999999999), }"); npy('header-version', "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, 4), }", version=4)
def tensors(name, header, data=bytes(64)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / f'{name}.safetensors').write_bytes(struct.pack('<Q', len(text)) + text + data)
image = {'dtype': 'U8', 'shape': [4, 4, 4], 'data_offsets': [0, 64]}
tensors('fine', {'images': image}); tensors('gap', {'images': {**image, 'data_offsets': [1, 65]}}, bytes(65)); tensors('overlap', {'images': image, 'y': {**image, 'data_offsets': [32, 96]}}, bytes(96)); tensors('beyond', {'images': {**image, 'data_offsets': [0, 65]}})
tensors('backward', {'images': {**image, 'data_offsets': [64, 0]}}); tensors('short', {'images': {**image, 'shape': [4, 4, 3]}}); tensors('json', b'{"images": '); tensors('array', []); tensors('offsets', {'images': {**image, 'data_offsets': ['a', 'b']}}); tensors('metadata', {'__metadata__': {'a': 1}, 'images': image}); tensors('complex', {'images': {**image, 'dtype': 'C64'}}); tensors('wide', {'images': {**image, 'dtype': 'F64', 'shape': [2, 2, 2]}}); tensors('proto', b'{"__proto__": {"dtype": "U8", "shape": [4, 4, 4], "data_offsets": [0, 64]}}')
(folder / 'length.safetensors').write_bytes(b'\\xff' * 64)
answer = {'labels': labels.tolist()}
`)) as typeof files
})
afterAll(() => files.remove())

const open = (name: string, options = {}) => openArrays(arraysDataset.parse({ kind: 'arrays', path: at(name), ...options }))
const expected = (name: string): Buffer => readFileSync(at(name))

describe('pixels', () => {
  test.each([
    ['gray.npy', {}, 'gray.bin', 1],
    ['v1.npy', {}, 'gray.bin', 1],
    ['v2.npy', {}, 'gray.bin', 1],
    ['v3.npy', {}, 'gray.bin', 1],
    ['one.npy', {}, 'gray.bin', 1],
    ['nchw.npy', {}, 'colour.bin', 3],
    ['nhwc.npy', {}, 'colour.bin', 3],
    ['nhwc.npy', { layout: 'nhwc' }, 'colour.bin', 3],
    ['nchw.npy', { layout: 'nchw' }, 'colour.bin', 3],
    ['pixels.safetensors', {}, 'colour.bin', 3],
    ['plain.npz', {}, 'gray.bin', 1],
    ['packed.npz', {}, 'colour.bin', 3],
    ['train.npz', {}, 'gray.bin', 1],
    ['positional.npz', {}, 'gray.bin', 1],
    ['odd.npz', { images: 'bïlder 😀', labels: 'klassen' }, 'gray.bin', 1],
  ])('%s %j', async (name, options, pixels, channels) => {
    const decoded = await decodeAll(open(name, options))
    expect(decoded).toMatchObject({ imageShape: [channels, 8, 8], numImages: N })
    expect(decoded.dtype ?? 'uint8').toBe('uint8')
    expect(decoded.data.equals(expected(pixels))).toBe(true)
    expect(decoded.labels).toEqual(name.endsWith('.npy') ? [] : files.answer.labels)
    expect(decoded.classNames).toHaveLength(name.endsWith('.npy') ? 0 : 10)
  })

  test('labels of an npy file of their own, of any width and byte order', async () => {
    for (const dtype of ['u1', 'i1', 'lu2', 'bu2', 'li4', 'bi4', 'li8', 'bi8', 'lu8', 'bu8', 'lu4', 'li2']) {
      expect((await decodeAll(open('gray.npy', { labels: at(`labels-${dtype}.npy`) }))).labels, dtype).toEqual(files.answer.labels)
    }
    expect((await decodeAll(open('gray.npy', { labels: at('column.npy') }))).labels).toEqual(files.answer.labels)
  })

  test('a file larger than what is read at a time, in pieces', async () => {
    const { chunks, imageShape } = await open('big.npy').decode({})
    const pieces: Uint8Array[] = []
    for await (const { data } of chunks) pieces.push(data)
    expect(imageShape).toEqual([1, 512, 300])
    expect(pieces.length).toBeGreaterThan(1)
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(2 ** 22)
    expect(Buffer.concat(pieces).equals(expected('big.npy').subarray(-40 * 512 * 300))).toBe(true)
  })

  test('a layout that could be either is asked for', async () => {
    await expectRefused(
      () => decodeAll(open('ambiguous.npy')),
      at('ambiguous.npy'),
      /dataset.layout 'nchw' or 'nhwc', got \|u1 \[30, 3, 8, 3\]/,
    )
    expect((await decodeAll(open('ambiguous.npy', { layout: 'nhwc' }))).imageShape).toEqual([3, 3, 8])
    await expectRefused(() => decodeAll(open('four.npy')), at('four.npy'), /dataset.layout/)
    expect((await decodeAll(open('four.npy', { layout: 'nchw' }))).imageShape).toEqual([4, 8, 8])
  })
})

describe('latents', () => {
  test.each([
    ['latents.npy', { scalingFactor: SCALE }, 'mean.bin'],
    ['latents.npy', { scalingFactor: SCALE }, 'mean-torch.bin'],
    ['latents-f2.npy', { scalingFactor: SCALE }, 'mean-f2.bin'],
    ['latents-big.npy', { scalingFactor: SCALE }, 'mean.bin'],
    ['halves.npy', { scalingFactor: 1 }, 'halves.bin'],
    ['bf16.safetensors', {}, 'mean-bf16.bin'],
    ['encoded.safetensors', { posterior: 'mean', images: 'mean_mirrored' }, 'mirrored.bin'],
    ['encoded-plain.safetensors', { posterior: 'mean' }, 'encoded-mean.bin'],
    ['encoded-plain.safetensors', {}, 'encoded-plain.bin'],
    ['encoded-mirror.safetensors', {}, 'encoded-mirror.bin'],
    ['encoded.safetensors', {}, 'encoded.bin'],
    ['encoded.safetensors', { posterior: 'mean' }, 'encoded-mirror.bin'],
    ['latents.npz', { scalingFactor: SCALE }, 'encoded-plain.bin'],
  ])('%s %j', async (name, options, numbers) => {
    const decoded = await decodeAll(open(name, options))
    expect(decoded.dtype).toBe('float32')
    expect(decoded).toMatchObject({ imageShape: [4, name === 'halves.npy' ? 4 : 3, name === 'halves.npy' ? 4 : 2] })
    expect(decoded.hasStd).toBe(numbers === 'encoded.bin' || numbers === 'encoded-plain.bin')
    expect(decoded.hasMirrored).toBe(numbers === 'encoded.bin' || numbers === 'encoded-mirror.bin')
    expect(decoded.data.equals(expected(numbers))).toBe(true)
    expect(decoded.labels).toEqual(/encoded(-plain)?\.safe|npz/.test(name) ? files.answer.labels : [])
  })

  test("the config's factor comes before the file's", async () => {
    const own = await decodeAll(open('encoded-mirror.safetensors', { scalingFactor: 1 }))
    const ofFile = await decodeAll(open('encoded-mirror.safetensors'))
    const ratio =
      new Float32Array(ofFile.data.buffer, ofFile.data.byteOffset, 1)[0] / new Float32Array(own.data.buffer, own.data.byteOffset, 1)[0]
    expect(ratio).toBeCloseTo(SCALE, 6)
  })
})

describe('refused by the name of file and array', () => {
  const scaled = { scalingFactor: 1 }
  test.each<[string, object, RegExp]>([
    ['fortran.npy', {}, /expected C order .*, got Fortran order/],
    ['float64.npy', scaled, /expected float16, bfloat16 or float32 latents .*, got <f8/],
    ['int64.npy', {}, /expected uint8 pixels, .*, got <i8 \[30, 8, 8\]/],
    ['bool.npy', {}, /expected plain integers or floats, got the dtype "\|b1"/],
    ['flat.npy', {}, /expected images \[N, H, W\], .*, got \|u1 \[30, 64\]/],
    ['empty.npy', {}, /expected an array with numbers in it, got the shape \[0, 8, 8\]/],
    ['thin.npy', {}, /got the shape \[30, 0, 8\]/],
    ['scalar.npy', {}, /got the shape \[\]/],
    ['objects.npy', {}, /got the dtype "\|O"/],
    ['structured.npy', {}, /expected a header of 'descr' \(plain numbers\)/],
    ['text.npy', {}, /got the dtype "<U1"/],
    ['header-call.npy', {}, /expected a header of/],
    ['header-twice.npy', {}, /expected a header of/],
    ['header-more.npy', {}, /expected a header of/],
    ['header-less.npy', {}, /expected a header of/],
    ['header-negative.npy', {}, /expected a header of/],
    ['header-after.npy', {}, /expected a header of/],
    ['header-immense.npy', {}, /expected an array with numbers in it/],
    ['header-version.npy', {}, /expected npy version 1, 2 or 3, got 4/],
    ['nan.npy', scaled, /expected finite numbers, got NaN in image 7, number 10/],
    ['inf.npy', scaled, /expected finite numbers, got -Infinity in image 7/],
    ['latents.npy', { scalingFactor: 3e38 }, /expected finite numbers/],
    ['latents.npy', {}, /set dataset.scalingFactor, .*, got neither/],
    ['latents.npy', { scalingFactor: 1, layout: 'nhwc' }, /expected latents \[N, C, H, W\]/],
    ['gray.npy', scaled, /expected float latents, for dataset.scalingFactor, got \|u1/],
    ['gray.npy', { images: 'x' }, /expected an array 'x'/],
    ['plain.npz', { images: 'x' }, /expected an array 'x', got 'images', 'labels'/],
    ['plain.npz', { labels: 'y' }, /expected an array 'y'/],
    ['nothing.npz', {}, /expected an array images, x, x_train, arr_0, mean, or dataset.images, got 'a'/],
    ['no-npy.npz', {}, /: images.npy: expected an npy file/],
    ['nothing.safetensors', {}, /got none/],
    ['unscaled.safetensors', {}, /set dataset.scalingFactor, .*, got neither/],
    ...['0', '-', 'n', 'i', 'x', ' '].map((first): [string, object, RegExp] => [
      `factor-${first.charCodeAt(0)}.safetensors`,
      {},
      /set dataset.scalingFactor/,
    ]),
    ['negative.safetensors', {}, /: std: expected finite numbers from 0 on, got -/],
    ['unlike.safetensors', {}, /: std: expected float16, bfloat16 or float32 latents \[30, 4, 3, 2\], got <f4 \[30, 1, 3, 2\]/],
    ['encoded-half.safetensors', {}, /: mean: expected a std for each mean, or for none, got std, mean_mirrored/],
    ['gap.safetensors', {}, /: images: expected bytes from 0 on, got 1 to 65/],
    ['overlap.safetensors', {}, /: y: expected bytes from 64 on, got 32 to 96/],
    ['beyond.safetensors', {}, /expected \d+ bytes, by its header, got \d+: truncated/],
    ['backward.safetensors', {}, /: images: expected bytes from 0 on, got 64 to 0/],
    ['short.safetensors', {}, /: images: expected 48 bytes for the shape \[4, 4, 3\], got 64/],
    ['json.safetensors', {}, /expected a header of JSON/],
    ['array.safetensors', {}, /expected a header with tensors/],
    ['offsets.safetensors', {}, /: images: expected dtype, shape and data_offsets/],
    ['metadata.safetensors', {}, /expected __metadata__ of texts/],
    ['complex.safetensors', {}, /: images: expected integers or floats, got the dtype C64/],
    ['wide.safetensors', scaled, /: images: expected latents/],
    ['proto.safetensors', {}, /got '__proto__'/],
    ['length.safetensors', {}, /expected a header within its 64 bytes/],
    ['missing.npy', {}, /expected a file or folder, got nothing there/],
    ['gray.bin', {}, /expected an npy, npz or safetensors file, got '.bin'/],
  ])('%s %j', (name, options, pattern) => expectRefused(async () => decodeAll(open(name, options)), at(name), pattern))

  test.each([
    ['float-labels', /expected labels: integers \[30\], got <f4 \[30\]/],
    ['few-labels', /expected labels: integers \[30\], got <i8 \[29\]/],
    ['hot-labels', /expected labels: integers \[30\], got \|u1 \[30, 10\]/],
    ['negative-labels', /expected labels 0 to 99999, got -1 of image 0/],
    ['huge-labels', /expected labels 0 to 99999, got 46116860184273\d+ of image 0/],
    ['no-labels', /got nothing there/],
  ])('%s', (name, pattern) =>
    expectRefused(async () => decodeAll(open('gray.npy', { labels: at(`${name}.npy`) })), at(`${name}.npy`), pattern),
  )

  test('controls: headers that differ from those in nothing but the fault', async () => {
    expect((await decodeAll(open('header-fine.npy'))).numImages).toBe(4)
    expect((await decodeAll(open('fine.safetensors'))).numImages).toBe(4)
  })

  test('a file that is too long is not called truncated', async () => {
    const path = join(testFolder(), 'long.npy')
    writeFileSync(path, Buffer.concat([readFileSync(at('gray.npy')), Buffer.alloc(1)]))
    await expectRefused(
      () => decodeAll(openArrays(arraysDataset.parse({ kind: 'arrays', path }))),
      path,
      /expected \d+ bytes for the shape \[.*\], got \d+$/,
    )
  })

  test('files that were cut off', async () => {
    const folder = testFolder()
    for (const name of ['gray.npy', 'plain.npz', 'packed.npz', 'pixels.safetensors']) {
      const whole = readFileSync(at(name))
      for (const length of [0, 5, 11, 60, whole.length - 1, Math.floor(whole.length / 2)]) {
        const path = join(folder, name)
        writeFileSync(path, whole.subarray(0, length))
        await expectRefused(() => decodeAll(openArrays(arraysDataset.parse({ kind: 'arrays', path }))), path, /expected/)
      }
    }
  })

  test('a file that becomes shorter while it is read', async () => {
    const path = join(testFolder(), 'big.npy')
    copyFileSync(at('big.npy'), path)
    const { chunks } = await openArrays(arraysDataset.parse({ kind: 'arrays', path })).decode({})
    const read = async (): Promise<void> => {
      for await (const { data } of chunks) truncateSync(path, data.length)
    }
    await expectRefused(read, path, /expected \d+ bytes from \d+ on, got \d+: truncated/)
  })
})
