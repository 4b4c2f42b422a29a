/** Folders and archives of images, written by Python: classes, order, links, and what is passed over or refused. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageFolderDataset } from '../../../protocol/dataset.ts'
import { byCodePoints, listImages } from '../../../ts/dataset/image/listing.ts'
import { openImageFolder } from '../../../ts/dataset/image-folder.ts'
import { decodeAll, expectRefused, makeFiles, testFolder, type Decoded, type Files } from '../../fixture/dataset.ts'

/** Images of one colour: the name says which red. */
const NAMES = {
  cat: ['a.png', 'b.jpg', 'deep/er/c.webp', 'ä ö.png'],
  Dog: ['10.PNG', '9.png'],
  猫: ['\u{1F431}.png', '\uFF21.png'],
} as const
/** As Python sorts: capitals first; 猫's full-width letter is before its emoji. */
const CLASSES = ['Dog', 'cat', '猫']
const REDS = [10, 20, 30, 40, 50, 60, 70, 80]
const LABELS = [0, 0, 1, 1, 1, 1, 2, 2]

let files: Files<{ readonly order: string[]; readonly classes: string[] }>
const at = (...names: string[]): string => join(files.folder, ...names)
const open = (path: string, options: Record<string, unknown> = {}): ReturnType<typeof openImageFolder> =>
  openImageFolder(imageFolderDataset.parse({ kind: 'image-folder', path, ...options }))
const decode = (path: string, options?: Record<string, unknown>): Promise<Decoded> => decodeAll(open(path, options))
const reds = ({ data, imageShape }: Decoded): number[] => {
  const size = imageShape.reduce((product, side) => product * side, 1)
  return Array.from({ length: data.length / size }, (_, index) => Math.round(data[index * size] / 10) * 10)
}

beforeAll(async () => {
  files = (await makeFiles(`
import io, os, tarfile, zipfile
from PIL import Image
names = ${JSON.stringify(NAMES)}
order = []
for label in sorted(names): order += [f'{label}/{name}' for name in sorted(names[label])]
for number, name in enumerate(order):
    path = folder / 'classes' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (6, 5), (number * 10 + 10, 0, 0)).save(path, quality=95, lossless=True)
(folder / 'flat').mkdir()
for number in range(3): Image.new('L', (4, 4), number * 10 + 10).save(folder / 'flat' / f'{number}.png')
(folder / 'mixed-size').mkdir()
for name, size in (('1.png', (6, 5)), ('2.png', (9, 5)), ('3.png', (5, 12))): Image.new('RGB', size, (200, 0, 0)).save(folder / 'mixed-size' / name)
packed = [name for name in sorted(order, reverse=True)]
def tar(path, mode, prefix, names):
    with tarfile.open(folder / path, mode) as archive:
        for name in names: archive.add(folder / 'classes' / name, prefix + name)
tar('plain.tar', 'w', '', packed)
tar('wrapped.tar.gz', 'w:gz', './set/', packed)
tar('flat.tgz', 'w:gz', 'set/', [])
with tarfile.open(folder / 'flat.tgz', 'w:gz') as archive: archive.add(folder / 'flat', 'set')
for path, prefix, method in (('plain.zip', '', zipfile.ZIP_STORED), ('wrapped.zip', 'set/', zipfile.ZIP_DEFLATED)):
    with zipfile.ZipFile(folder / path, 'w', method) as archive:
        for name in packed: archive.write(folder / 'classes' / name, prefix + name)
        archive.writestr('__MACOSX/' + prefix + '._a.png', b'resource fork')
        archive.writestr(prefix + 'README', b'about')
with zipfile.ZipFile(folder / 'broken.zip', 'w') as archive:
    archive.write(folder / 'classes' / order[0], 'good.png')
    archive.writestr('bad.png', (folder / 'classes' / order[0]).read_bytes()[:40])
with zipfile.ZipFile(folder / 'empty.zip', 'w'): pass
tar('packed.tar.bz2', 'w:bz2', '', packed); tar('packed.tar.xz', 'w:xz', '', packed); (folder / 'text.ZIP').write_bytes(b'no zip' * 100)
answer = {'order': order, 'classes': sorted(names)}
`)) as typeof files
})
afterAll(() => files.remove())

describe('a folder', () => {
  test('has the classes of its sub-folders, in the order that Python gives them', async () => {
    const decoded = await decode(at('classes'))
    expect(files.answer.classes).toEqual(CLASSES)
    expect(decoded).toMatchObject({ imageShape: [3, 5, 6], classNames: CLASSES, numImages: 8, labels: LABELS, notes: [] })
    expect(reds(decoded)).toEqual(REDS)
  })

  test('without sub-folders has no labels', async () => {
    const decoded = await decode(at('flat'))
    expect(decoded).toMatchObject({ imageShape: [3, 4, 4], classNames: [], labels: [], numImages: 3 })
    expect(decoded.notes).toEqual(['3 images in gray became three equal channels'])
    expect(reds(decoded)).toEqual([10, 20, 30])
    expect(await decode(at('flat'), { color: 'gray' })).toMatchObject({ imageShape: [1, 4, 4], notes: [] })
  })

  test('of several sizes needs a resolution', async () => {
    await expectRefused(
      () => decode(at('mixed-size')),
      at('mixed-size', '2.png'),
      /expected an image of 6x5, as .*1\.png, got 9x5: set dataset\.resolution/,
    )
    expect(await decode(at('mixed-size'), { resolution: 5 })).toMatchObject({ imageShape: [3, 5, 5], numImages: 3, notes: [] })
    expect((await decode(at('mixed-size'), { resolution: 7 })).notes).toEqual(['3 images enlarged'])
  })

  test('hidden files are passed over, metadata is noted, all else is refused by name', async () => {
    const folder = testFolder()
    cpSync(at('classes'), folder, { recursive: true })
    for (const name of ['.DS_Store', 'Thumbs.db', '.hidden/x.exe', '__MACOSX/y.bin', 'cat/._a.png', 'cat/desktop.ini']) put(folder, name)
    expect((await decode(folder)).notes).toEqual([])
    for (const name of ['labels.csv', 'cat/a.json', 'LICENSE', 'cat/b.TXT']) put(folder, name)
    expect((await decode(folder)).notes).toEqual(['4 files that are no images (csv, json, license, txt)'])
    for (const name of ['cat/program.exe', 'movie.gif', 'no-ending']) {
      put(folder, name)
      await expectRefused(async () => decode(folder), name, /expected a PNG, JPEG or WebP file, or metadata/)
      rmSync(join(folder, name))
    }
    expect((await decode(folder)).numImages).toBe(8)
  })

  test('with images both at the top and below is refused, and one without images', async () => {
    const folder = testFolder()
    await expectRefused(async () => decode(folder), folder, /expected PNG, JPEG or WebP images, got none/)
    put(folder, 'notes.txt')
    await expectRefused(async () => decode(folder), folder, /got none/)
    cpSync(at('flat', '0.png'), join(folder, 'top.png'))
    expect((await decode(folder)).numImages).toBe(1)
    mkdirSync(join(folder, 'class'))
    cpSync(at('flat', '0.png'), join(folder, 'class', 'below.png'))
    await expectRefused(async () => decode(folder), folder, /one for each class, or none of them, got top\.png and class\/below\.png/)
  })

  test('a class without images is named: others would have another number than in torchvision', async () => {
    const folder = testFolder()
    cpSync(at('classes'), folder, { recursive: true })
    mkdirSync(join(folder, 'cat', 'empty'))
    mkdirSync(join(folder, '.empty'))
    expect((await decode(folder)).numImages).toBe(8)
    put(folder, 'aa/notes.txt')
    mkdirSync(join(folder, 'b', 'deeper'), { recursive: true })
    await expectRefused(async () => decode(folder), join(folder, 'aa'), /expected an image in each class folder, got none in /)
    rmSync(join(folder, 'aa'), { recursive: true })
    await expectRefused(async () => decode(folder), join(folder, 'b'), /expected an image in each class folder, got none in /)
  })

  test('names that would move the cursor, or are not UTF-8, are refused on one line', async () => {
    for (const name of ['a\nb.png', '\x1b[2Jx.png', 'del\x7f.png', 'c1\x9b.png', 'dir\r/x.png']) {
      const folder = testFolder()
      cpSync(at('flat'), folder, { recursive: true })
      put(folder, name)
      await expectRefused(async () => decode(folder), folder, /\\x[\da-f]{2}[^\p{Cc}]*: expected a name without control characters$/u)
    }
    const folder = testFolder()
    cpSync(at('flat'), folder, { recursive: true })
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/x`), Buffer.from([0xff]), Buffer.from('.png')]), 'x')
    await expectRefused(async () => decode(folder), folder, /: its name is not UTF-8$/)
  })

  test('that is not there, and a broken image, are named', async () => {
    await expectRefused(async () => decode(at('nowhere')), at('nowhere'), /expected a file or folder, got nothing there/)
    const folder = testFolder()
    cpSync(at('flat'), folder, { recursive: true })
    put(folder, '1.png', '\x89PNG\r\n\x1a\n')
    await expectRefused(() => decode(folder), join(folder, '1.png'), /the PNG is truncated/)
  })
})

describe('links', () => {
  test.each([
    ['a file', '../cat/a.png', 'Dog/linked.png', 'cat/a.png'],
    ['a folder', 'cat', 'cat2', 'cat'],
    ['a folder around it', '..', 'cat/up', ''],
    ['its own folder', '.', 'cat/deep/self', 'cat/deep'],
  ])('to %s that is read anyway is refused: each image counts once', async (_, target, link, real) => {
    const folder = testFolder()
    cpSync(at('classes'), folder, { recursive: true })
    expect((await decode(folder)).numImages).toBe(8)
    symlinkSync(target, join(folder, link))
    const expected = `expected a file or folder of its own, got a link to ${join(folder, real)}, which is read anyway`
    await expectRefused(async () => decode(folder), `${join(folder, link)}: ${expected}`, /anyway$/)
  })

  test('to what is hidden in the folder are followed, once each', async () => {
    const folder = testFolder()
    cpSync(at('classes', 'Dog'), join(folder, '.store'), { recursive: true })
    mkdirSync(join(folder, 'a'))
    symlinkSync('../.store/9.png', join(folder, 'a', '1.png'))
    expect(await decode(folder)).toMatchObject({ classNames: ['a'], numImages: 1 })
    symlinkSync('../.store/9.png', join(folder, 'a', '2.png'))
    await expectRefused(async () => decode(folder), join(folder, 'a', '2.png'), /of its own, got .*9\.png once more/)
    rmSync(join(folder, 'a'), { recursive: true })
    symlinkSync('.store', join(folder, 'b'))
    expect(await decode(folder)).toMatchObject({ classNames: ['b'], numImages: 2 })
    symlinkSync('.', join(folder, '.store', 'self'))
    await expectRefused(async () => decode(folder), join(folder, 'b', 'self'), /\.store once more/)
  })

  test('of nine folders to each other end at the first', async () => {
    const folder = testFolder()
    const names = 'abcdefghi'.split('')
    for (const name of names) cpSync(at('flat'), join(folder, name), { recursive: true })
    for (const name of names) for (const other of names) symlinkSync(`../${other}`, join(folder, name, `z${other}`))
    await expectRefused(async () => decode(folder), join(folder, 'a', 'za'), /which is read anyway/)
  })

  test.each([
    ['to a file outside', (outside: string) => join(outside, 'secret.png'), /expected a link within/],
    ['to a folder outside', (outside: string) => outside, /expected a link within/],
    ['to a name that only begins like the folder', () => '', /expected a link within/],
    ['to nothing', () => 'nowhere', /expected a file or folder, got a link to nothing$/],
  ])('%s are refused by name', async (what, target, message) => {
    const parent = testFolder()
    const folder = join(parent, 'images')
    const outside = join(parent, 'images-too')
    for (const path of [folder, outside]) cpSync(at('flat'), path, { recursive: true })
    cpSync(at('flat', '0.png'), join(outside, 'secret.png'))
    expect((await decode(folder)).numImages).toBe(3)
    symlinkSync(what.includes('begins') ? '../images-too/secret.png' : target(outside), join(folder, 'link.png'))
    await expectRefused(async () => decode(folder), join(folder, 'link.png'), message)
  })

  test('and what is no file at all', async () => {
    const folder = testFolder()
    cpSync(at('flat'), folder, { recursive: true })
    execFileSync('mkfifo', [join(folder, 'pipe.png')])
    await expectRefused(async () => decode(folder), join(folder, 'pipe.png'), /expected a file or folder, got something else/)
  })
})

describe('an archive', () => {
  test.each(['plain.zip', 'wrapped.zip', 'plain.tar', 'wrapped.tar.gz'])('%s has the images of the folder', async (name) => {
    const decoded = await decode(at(name))
    expect(decoded).toMatchObject({ imageShape: [3, 5, 6], classNames: CLASSES, numImages: 8 })
    // A tar has its own order, here the other way round.
    const isTar = name.includes('tar')
    expect(reds(decoded)).toEqual(isTar ? REDS.toReversed() : REDS)
    expect(decoded.labels).toEqual(isTar ? LABELS.toReversed() : LABELS)
    expect(decoded.notes).toEqual(isTar ? [] : ['1 file that is no image (readme)'])
  })

  test('of images in one folder has no labels', async () => {
    expect(await decode(at('flat.tgz'))).toMatchObject({ numImages: 3, classNames: [], labels: [] })
  })

  test('that is empty, broken or none is refused by its name, and that of the member', async () => {
    await expectRefused(() => decode(at('empty.zip')), at('empty.zip'), /expected PNG, JPEG or WebP images, got none/)
    await expectRefused(() => decode(at('broken.zip')), `${at('broken.zip')}: bad.png`, /the PNG is truncated/)
    await expectRefused(() => decode(at('flat', '0.png')), at('flat', '0.png'), /expected a tar archive/)
    await expectRefused(() => decode(at('text.ZIP')), at('text.ZIP'), /expected a zip archive/)
    await expectRefused(() => decode(at('packed.tar.bz2')), at('packed.tar.bz2'), /plain or gzip: bzip2 is not read$/)
    await expectRefused(() => decode(at('packed.tar.xz')), at('packed.tar.xz'), /plain or gzip: xz is not read$/)
  })
})

describe('identity', () => {
  test('changes with names, sizes and times of images, and with what is done to them; not with the place', () => {
    const folder = join(testFolder(), 'a')
    cpSync(at('classes'), folder, { recursive: true, preserveTimestamps: true })
    const first = JSON.stringify(open(folder).identity)
    const again = (options?: Record<string, unknown>): string => JSON.stringify(open(folder, options).identity)
    expect(again()).toBe(first)
    expect(again({ horizontalFlip: true, resizeFilter: 'lanczos' })).toBe(first)
    const others = [again({ resolution: 4 }), again({ resolution: 4, resizeFilter: 'lanczos' }), again({ color: 'gray' })]
    utimesSync(join(folder, 'cat', 'a.png'), 1, 1)
    others.push(again())
    renameSync(join(folder, 'cat', 'a.png'), join(folder, 'cat', 'b.png'))
    others.push(again())
    renameSync(folder, `${folder}2`)
    expect(JSON.stringify(open(`${folder}2`).identity)).toBe(others.at(-1))
    expect(new Set([first, ...others]).size).toBe(6)
  })

  test('the name is fit for a folder of the cache', () => {
    expect(open(at('wrapped.tar.gz'), { resolution: 8, color: 'gray' }).name).toBe('wrapped-8-gray')
    const folder = join(testFolder(), '..猫 & co')
    cpSync(at('flat'), folder, { recursive: true })
    expect(open(folder).name).toBe('co')
  })
})

test('code points, not UTF-16 and not a locale, are what is sorted by', () => {
  const names = ['\u{1F431}', '\uFF21', 'b', 'B', 'a', 'é', 'e\u0301', 'ab', '']
  expect(names.toSorted(byCodePoints)).toEqual(['', 'B', 'a', 'ab', 'b', 'e\u0301', 'é', '\uFF21', '\u{1F431}'])
  expect(['\u{1F431}', '\uFF21'].toSorted()).toEqual(['\u{1F431}', '\uFF21'])
  // The class comes first: in the whole path, a space is before the slash.
  const listed = listImages('x', [{ name: 'a/1.png' }, { name: 'a b/1.png' }])
  expect(listed.images.map(({ file }) => file.name)).toEqual(['a/1.png', 'a b/1.png'])
})

function put(folder: string, name: string, content = 'x'): void {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), content, 'latin1')
}
