/** CelebA in its own layout, written by Python: partition, attributes, crops, and what does not fit. */
import { cpSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { celebaDataset } from '../../../protocol/dataset.ts'
import { openCeleba } from '../../../ts/dataset/celeba.ts'
import { decodeAll, expectRefused, makeFiles, testFolder, type Decoded, type Files } from '../../fixture/dataset.ts'

/** By number of the image: its part, and whether it smiles. */
const PARTS = [0, 0, 2, 1, 0, 2]
const SMILES = [1, -1, 1, 1, -1, -1]

let files: Files
const at = (...names: string[]): string => join(files.folder, ...names)
const open = (path: string | null, options: Record<string, unknown> = {}): ReturnType<typeof openCeleba> =>
  openCeleba(celebaDataset.parse({ kind: 'celeba', path, ...options }))
const decode = async (path: string, options?: Record<string, unknown>): Promise<Decoded> => decodeAll(open(path, options))

beforeAll(async () => {
  files = await makeFiles(`
import shutil, zipfile
from PIL import Image
rng = np.random.default_rng(5)
parts, smiles = ${JSON.stringify(PARTS)}, ${JSON.stringify(SMILES)}
images = folder / 'folder' / 'img_align_celeba'
images.mkdir(parents=True)
names = [f'{number + 1:06d}.jpg' for number in range(len(parts))]
for name in names:
    Image.fromarray(rng.integers(0, 256, (28, 23, 3), np.uint8)).resize((178, 218), Image.Resampling.BICUBIC).save(images / name, quality=92)
(folder / 'folder' / 'list_eval_partition.txt').write_text(''.join(f'{name} {part}\\n' for name, part in zip(names, parts)))
rows = ''.join(f'{name}  1 {smile:2d} -1\\n' for name, smile in zip(names, smiles))
(folder / 'folder' / 'list_attr_celeba.txt').write_text(f'{len(names)}\\nNo_Beard Smiling Young \\n{rows}')
shutil.copytree(folder / 'folder', folder / 'zip', ignore=lambda *_: ['img_align_celeba'])
with zipfile.ZipFile(folder / 'zip' / 'img_align_celeba.zip', 'w') as archive:
    archive.writestr('img_align_celeba/', b'')
    for name in names: archive.write(images / name, f'img_align_celeba/{name}')
for side, left, top in ((178, 0, 20), (140, 19, 39)):
    crops = [Image.open(images / name).crop((left, top, left + side, top + side)).resize((64, 64), Image.Resampling.BILINEAR) for name in names]
    np.stack([np.asarray(crop).transpose(2, 0, 1) for crop in crops]).tofile(folder / f'{side}.bin')
Image.new('RGB', (100, 218)).save(folder / 'small.jpg')
answer = None
`)
})
afterAll(() => files.remove())
afterEach(() => vi.unstubAllEnvs())

function distance({ data }: Decoded, side: number, numbers: readonly number[]): number {
  const expected = readFileSync(at(`${side}.bin`))
  expect(data.length).toBe(numbers.length * 12_288)
  return Math.max(
    ...numbers.map((number, index) =>
      Math.max(
        ...data.subarray(index * 12_288, (index + 1) * 12_288).map((level, pixel) => Math.abs(level - expected[number * 12_288 + pixel])),
      ),
    ),
  )
}

describe.each(['folder', 'zip'])('as %s', (kind) => {
  test.each([
    ['train', [0, 1, 4]],
    ['valid', [3]],
    ['test', [2, 5]],
    ['all', [0, 1, 2, 3, 4, 5]],
  ] as const)('the %s split, cropped and resized as by torchvision', async (split, numbers) => {
    const whole = await decode(at(kind), { split })
    expect(whole).toMatchObject({ imageShape: [3, 64, 64], classNames: [], labels: [], numImages: numbers.length })
    expect(distance(whole, 178, numbers)).toBeLessThanOrEqual(2)
    const face = await decode(at(kind), { split, centerCrop: 140 })
    expect(distance(face, 140, numbers)).toBeLessThanOrEqual(2)
    // Control: the other crop is not the same.
    expect(distance(face, 178, numbers)).toBeGreaterThan(20)
  })

  test('an attribute makes two classes', async () => {
    expect(await decode(at(kind), { attribute: 'Smiling' })).toMatchObject({ classNames: ['not Smiling', 'Smiling'], labels: [1, 0, 0] })
    expect((await decode(at(kind), { attribute: 'Smiling', split: 'all' })).labels).toEqual(SMILES.map((smile) => (smile === 1 ? 1 : 0)))
    expect((await decode(at(kind), { attribute: 'Young', split: 'test' })).labels).toEqual([0, 0])
  })
})

test('its terms, its name and its number of images are stated', async () => {
  const source = open(at('folder'), { centerCrop: 140, split: 'all', attribute: 'No_Beard' })
  expect(source).toMatchObject({
    name: 'celeba-64-crop140-all-No-Beard',
    licence: expect.stringContaining('non-commercial research only') as string,
  })
  expect(open(at('folder')).name).toBe('celeba-64')
  expect((await decode(at('folder'))).notes).toEqual(['3 images: as published there are 162770'])
})

test('the text files are needed only where they are used', async () => {
  const folder = copy('folder')
  rmSync(join(folder, 'list_attr_celeba.txt'))
  expect(await decode(folder)).toMatchObject({ numImages: 3 })
  await expectRefused(() => decode(folder, { attribute: 'Smiling' }), join(folder, 'list_attr_celeba.txt'), /got nothing there/)
  rmSync(join(folder, 'list_eval_partition.txt'))
  expect(await decode(folder, { split: 'all' })).toMatchObject({ numImages: 6 })
  await expectRefused(() => decode(folder), join(folder, 'list_eval_partition.txt'), /got nothing there/)
})

test('identity: of the options and files that count', () => {
  const folder = copy('folder')
  const identity = (options?: Record<string, unknown>): string => JSON.stringify(open(folder, options).identity)
  const first = identity()
  expect(identity({ horizontalFlip: true })).toBe(first)
  const others = [{ split: 'test' }, { centerCrop: 140 }, { resolution: 32 }, { resizeFilter: 'box' }, { attribute: 'Young' }].map(identity)
  utimesSync(join(folder, 'list_attr_celeba.txt'), 1, 1)
  expect(identity()).toBe(first)
  utimesSync(join(folder, 'img_align_celeba'), 1, 1)
  expect(new Set([first, ...others, identity()]).size).toBe(7)
})

describe('refused, with what is expected', () => {
  test('nothing there', async () => {
    vi.stubEnv('IMMISCIBLE_HOME', testFolder())
    await expectRefused(async () => open(null), 'celeba', /run immiscible data fetch celeba, or set dataset\.path/)
    const folder = testFolder()
    await expectRefused(async () => open(folder), folder, /expected a folder with img_align_celeba \(folder or zip\), got neither/)
  })

  test('an image that is listed and missing', async () => {
    const folder = copy('folder')
    rmSync(join(folder, 'img_align_celeba', '000005.jpg'))
    await expectRefused(() => decode(folder), join(folder, 'img_align_celeba'), /expected 000005\.jpg, which is listed, got 5 other images/)
    expect(await decode(folder, { split: 'test' })).toMatchObject({ numImages: 2 })
  })

  test('an image of another size', async () => {
    const folder = copy('folder')
    cpSync(at('small.jpg'), join(folder, 'img_align_celeba', '000002.jpg'), { force: true })
    await expectRefused(() => decode(folder), join(folder, 'img_align_celeba', '000002.jpg'), /expected an image of 178x218, got 100x218/)
  })

  test.each([
    [
      'an unknown attribute',
      'list_attr_celeba.txt',
      (text: string) => text,
      /expected one of its attributes \(No_Beard, Smiling, Young\), got Beard/,
      'Beard',
    ],
    [
      'a missing line',
      'list_attr_celeba.txt',
      (text: string) => text.split('\n').toSpliced(3, 1).join('\n'),
      /got 5 lines of images, not 6/,
      'Young',
    ],
    [
      'another image',
      'list_attr_celeba.txt',
      (text: string) => text.replace('000005', '000009'),
      /expected a line for 000005\.jpg, got none/,
      'Young',
    ],
    [
      'a value that is none',
      'list_attr_celeba.txt',
      (text: string) => text.replace(/1 -1\n/, '1 0\n'),
      /3 times 1 or -1, got line \d: 00000/,
      'Young',
    ],
    [
      'a split that is none',
      'list_eval_partition.txt',
      (text: string) => text.replace(' 1\n', ' 3\n'),
      /0, 1 or 2, got line 4: 000004\.jpg 3/,
      null,
    ],
    [
      'an image elsewhere',
      'list_eval_partition.txt',
      (text: string) => text.replace('000001', '../000001'),
      /expected \.\.\/000001\.jpg, which is listed/,
      null,
    ],
    [
      'an empty split',
      'list_eval_partition.txt',
      (text: string) => text.replaceAll(' 0\n', ' 1\n'),
      /expected images of the train split, got none/,
      null,
    ],
  ])('%s', async (_what, name, change, message, attribute) => {
    const folder = copy('folder')
    const path = join(folder, name)
    const file = message.source.includes('which is listed') ? join(folder, 'img_align_celeba') : path
    writeFileSync(path, change(readFileSync(path, 'utf8')))
    await expectRefused(() => decode(folder, { attribute }), file, message)
  })
})

function copy(kind: string): string {
  const folder = testFolder()
  cpSync(at(kind), folder, { recursive: true, preserveTimestamps: true })
  return folder
}
