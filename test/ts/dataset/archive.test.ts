/** Archives by Python's zipfile and tarfile: what is in them, and what is refused by the names of archive and member. */
import { readFileSync, truncateSync, writeFileSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listTar, readTar } from '../../../ts/dataset/archive/tar.ts'
import { openZip } from '../../../ts/dataset/archive/zip.ts'
import { expectRefused, makeFiles, testFolder, type Files } from '../../fixture/dataset.ts'

interface Fixtures {
  /** Name to content, as latin1 text. */
  readonly members: Readonly<Record<string, string>>
  readonly hostile: readonly (readonly [file: string, member: string])[]
}

let files: Files<Fixtures>
const at = (name: string): string => join(files.folder, name)

beforeAll(async () => {
  files = (await makeFiles(`
import io, struct, tarfile, unicodedata, zipfile
random = np.random.RandomState(0)
members = {
    'a/data.bin': random.bytes(70_000),
    'a/empty': b'',
    'zeros': bytes(50_000),
    unicodedata.normalize('NFC', 'é') + '/1.png': b'composed',
    unicodedata.normalize('NFD', 'é') + '/1.png': b'decomposed',
    '\\U0001f600 two  spaces.png': b'emoji',
    'deep/' + 'n' * 120 + '/x': b'long',
}
for method, name in ((zipfile.ZIP_DEFLATED, 'deflated.zip'), (zipfile.ZIP_STORED, 'stored.zip')):
    with zipfile.ZipFile(folder / name, 'w', method) as archive:
        archive.writestr('a/', b'')
        for member, content in members.items(): archive.writestr(member, content)
with zipfile.ZipFile(folder / 'forced64.zip', 'w') as archive:
    for member, content in members.items():
        with archive.open(member, 'w', force_zip64=True) as file: file.write(content)
for form in ('USTAR', 'GNU', 'PAX'):
    for mode, suffix in (('w', 'tar'), ('w:gz', 'tar.gz')):
        with tarfile.open(folder / f'{form}.{suffix}', mode, format=getattr(tarfile, f'{form}_FORMAT')) as archive:
            directory = tarfile.TarInfo('a'); directory.type = tarfile.DIRTYPE; archive.addfile(directory)
            for member, content in members.items():
                info = tarfile.TarInfo('./' + member); info.size = len(content); archive.addfile(info, io.BytesIO(content))

# cp437, as old programs write names: the flag for UTF-8 is off.
class Old(zipfile.ZipInfo):
    def _encodeFilenameFlags(self): return self.filename.encode('cp437'), self.flag_bits
with zipfile.ZipFile(folder / 'cp437.zip', 'w') as archive: archive.writestr(Old('Ägypten.png'), b'old')

hostile = []
def bad_zip(name, member, change=lambda info: None, content=b'x'):
    info = zipfile.ZipInfo(member); info.filename = member; change(info)
    with zipfile.ZipFile(folder / f'{name}.zip', 'w') as archive:
        archive.writestr('good', b'fine'); archive.writestr(info, content)
    hostile.append([f'{name}.zip', member])
def bad_tar(name, member, **fields):
    with tarfile.open(folder / f'{name}.tar', 'w') as archive:
        info = tarfile.TarInfo('good'); info.size = 4; archive.addfile(info, io.BytesIO(b'fine'))
        info = tarfile.TarInfo(member)
        for key, value in fields.items(): setattr(info, key, value)
        archive.addfile(info)
    hostile.append([f'{name}.tar', member])
for name, member in (('absolute', '/etc/passwd'), ('parent', 'a/../../b'), ('dots', '..'), ('drive', 'C:/windows'), ('backslash', 'a\\\\b')):
    bad_zip(name, member); bad_tar(name, member)
def link(info): info.external_attr = 0o120777 << 16
def device(info): info.external_attr = 0o020666 << 16
bad_zip('symlink', 'link', link, b'/etc/passwd'); bad_zip('device', 'tty', device)
bad_tar('symlink', 'link', type=tarfile.SYMTYPE, linkname='/etc/passwd'); bad_tar('hardlink', 'link', type=tarfile.LNKTYPE, linkname='good')
bad_tar('fifo', 'pipe', type=tarfile.FIFOTYPE); bad_tar('device', 'tty', type=tarfile.CHRTYPE)
import warnings
warnings.simplefilter('ignore')
with zipfile.ZipFile(folder / 'twice.zip', 'w') as archive: archive.writestr('same', b'1'); archive.writestr('./same', b'2')
hostile.append(['twice.zip', 'same'])
with tarfile.open(folder / 'twice.tar', 'w') as archive:
    for _ in range(2): archive.addfile(tarfile.TarInfo('same'))
hostile.append(['twice.tar', 'same'])

def patched(name, source, find, replace, every=False):
    raw = (folder / source).read_bytes()
    assert raw.count(find) >= 1, name
    (folder / name).write_bytes(raw.replace(find, replace) if every else raw.replace(find, replace, 1))
# The directory and the header in front of each member both have its name.
bad_zip('nul', 'nul@name'); hostile.pop()
patched('nul.zip', 'nul.zip', b'nul@name', b'nul\\0name', True)
hostile.append(['nul.zip', 'nul\\\\x00name'])
# Of a name in ASCII alone, cp437 makes signs.
for name, member, shown in (('lines', 'ä\\nb.png', 'ä\\\\x0ab.png'), ('escape', 'ä\\x1b[2J.png', 'ä\\\\x1b[2J.png'), ('c1', 'c\\x9b.png', 'c\\\\x9b.png')):
    for kind, write in (('zip', bad_zip), ('tar', bad_tar)): write(name, member); hostile.pop(); hostile.append([f'{name}.{kind}', shown])
bad_zip('renamed', 'honest'); hostile.pop()
patched('renamed.zip', 'renamed.zip', b'honest', b'hidden')
with zipfile.ZipFile(folder / 'bomb.zip', 'w', zipfile.ZIP_DEFLATED) as archive: archive.writestr('bomb', bytes(5_000_000))
def directory_at(raw): return raw.rindex(b'PK\\x01\\x02')
def set_directory(name, source, offset, value, form='<I'):
    raw = bytearray((folder / source).read_bytes()); struct.pack_into(form, raw, directory_at(raw) + offset, value); (folder / name).write_bytes(raw)
set_directory('longer.zip', 'bomb.zip', 24, 4_000_000)     # says less than it holds
set_directory('shorter.zip', 'bomb.zip', 24, 5_000_001)
set_directory('lie.zip', 'bomb.zip', 24, 2**31)            # more than deflate can
set_directory('crc.zip', 'bomb.zip', 16, 12345)
set_directory('encrypted.zip', 'bomb.zip', 8, 1, '<H')
set_directory('strong.zip', 'bomb.zip', 8, 0x41, '<H')
set_directory('method.zip', 'bomb.zip', 10, 12, '<H')
set_directory('offset.zip', 'bomb.zip', 42, 7)
with zipfile.ZipFile(folder / 'two.zip', 'w') as archive: archive.writestr('one', b'1' * 100); archive.writestr('two', b'2' * 100)
set_directory('overlap.zip', 'two.zip', 42, 0)
raw = bytearray((folder / 'two.zip').read_bytes()); struct.pack_into('<HH', raw, len(raw) - 14, 1, 1); (folder / 'fewer.zip').write_bytes(raw)
# A directory of zip64 that is said to be beyond all numbers.
(folder / 'beyond.zip').write_bytes(b'PK\\x06\\x07' + struct.pack('<IQI', 0, 2**64 - 1, 1) + b'PK\\x05\\x06' + struct.pack('<HHHHIIH', 0, 0, 1, 1, 46, 0, 0))
answer = {'members': {name: content.decode('latin1') for name, content in members.items()}, 'hostile': hostile}
`)) as Files<Fixtures>
})
afterAll(() => files.remove())

const readAllTar = (path: string, options = {}): Promise<Map<string, string>> => collect(readTar(path, options))

async function collect(members: AsyncIterable<{ name: string; data: Uint8Array }>): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for await (const { name, data } of members) contents.set(name, Buffer.from(data).toString('latin1'))
  return contents
}

async function readAllZip(path: string, options = {}): Promise<Map<string, string>> {
  await using zip = await openZip(path, options)
  const contents = await Promise.all(zip.members.map(async ({ name, bytes }) => ({ name, bytes, data: await zip.read(name) })))
  for (const { bytes, data } of contents) expect(data.length).toBe(bytes)
  return new Map(contents.map(({ name, data }) => [name, Buffer.from(data).toString('latin1')]))
}

const readAll = (path: string, options = {}): Promise<Map<string, string>> =>
  path.endsWith('.zip') ? readAllZip(path, options) : readAllTar(path, options)

const ARCHIVES = [
  'deflated.zip',
  'stored.zip',
  'forced64.zip',
  ...['USTAR', 'GNU', 'PAX'].flatMap((form) => [`${form}.tar`, `${form}.tar.gz`]),
]

test.each(ARCHIVES)('%s gives what Python put in, by its names in Unicode', async (name) => {
  const contents = await readAll(at(name))
  expect(Object.fromEntries(contents)).toEqual(files.answer.members)
})

test('names of old programs are those of cp437', async () => {
  expect([...(await readAll(at('cp437.zip'))).keys()]).toEqual(['Ägypten.png'])
})

test('a tar archive is listed without its contents, and read in part', async () => {
  const listed = await listTar(at('GNU.tar.gz'))
  const expected = Object.entries(files.answer.members).map(([name, content]) => ({ name, bytes: content.length }))
  expect(listed).toEqual(expected)
  const some = await readAllTar(at('PAX.tar'), { wants: (name: string) => name.startsWith('a/') })
  expect([...some.keys()]).toEqual(['a/data.bin', 'a/empty'])
  for await (const { name } of readTar(at('USTAR.tar'))) {
    expect(name).toBe('a/data.bin')
    break
  }
})

test('unsafe members are refused by name: leading out, links, devices, twice the same', async () => {
  expect(files.answer.hostile.length).toBeGreaterThan(15)
  for (const [file, member] of files.answer.hostile) {
    const escaped = member.replaceAll(/[\\.^$*+?()[\]{}|]/g, String.raw`\$&`)
    await expectRefused(() => readAll(at(file)), at(file), new RegExp(`: ${escaped}: expected `))
  }
})

test.each([
  ['longer.zip', /: bomb: expected 4000000 bytes, got more/],
  ['shorter.zip', /: bomb: expected 5000001 bytes, got 5000000/],
  ['lie.zip', /: bomb: expected at most \d+ bytes from \d+, got 2147483648/],
  ['crc.zip', /: bomb: expected CRC-32 12345, got \d+/],
  ['encrypted.zip', /: bomb: expected no encryption/],
  ['strong.zip', /strong encryption/],
  ['method.zip', /: bomb: expected a stored or deflated member, got compression method 12/],
  ['offset.zip', /: bomb: expected/],
  ['overlap.zip', /: one: expected it to end before byte 0|: two: expected/],
  ['fewer.zip', /expected 1 members, got more/],
  ['renamed.zip', /: hidden: expected its own header|: honest: expected its own header/],
  ['beyond.zip', /truncated/],
  ['nothing.zip', /expected a file or folder, got nothing there/],
  ['nothing.tar', /expected a file or folder, got nothing there/],
])('%s is refused', (file, pattern) => expectRefused(() => readAll(at(file)), at(file), pattern))

test('control: the bomb that tells the truth is read, and refused above a limit', async () => {
  expect((await readAll(at('bomb.zip'))).get('bomb')?.length).toBe(5_000_000)
  const options = { maxMemberBytes: 4_999_999 }
  await expectRefused(() => readAll(at('bomb.zip'), options), at('bomb.zip'), /: bomb: expected at most 4999999 bytes, got 5000000/)
  await expectRefused(
    () => readAll(at('GNU.tar'), { maxMemberBytes: 69_999 }),
    at('GNU.tar'),
    /: a\/data.bin: expected at most 69999 bytes/,
  )
  expect((await readAllTar(at('GNU.tar'), { maxMemberBytes: 69_999, wants: (name: string) => name !== 'a/data.bin' })).size).toBe(6)
})

describe('an archive that was cut off', () => {
  test.each(ARCHIVES)('%s is refused by its name, wherever that was', async (name) => {
    const folder = testFolder()
    const size = readFileSync(at(name)).length
    expect(size).toBeGreaterThan(10_240)
    // For tar, 1,024 and 10,240 are whole blocks and records of it.
    for (const length of [0, 1, 100, 512, 1024, 1536, Math.floor(size / 2), size - 10_240, size - 1024, size - 1].filter(
      (cut) => cut >= 0 && cut < size,
    )) {
      const cut = join(folder, `${length}-${name}`)
      copyFileSync(at(name), cut)
      truncateSync(cut, length)
      const isWhole = name.endsWith('.tar') && Object.keys(files.answer.members).length === (await listTar(cut).catch(() => [])).length
      if (!isWhole) await expectRefused(() => readAll(cut), cut, /expected/)
      // Only zeros were lost.
      if (isWhole)
        expect(
          readFileSync(at(name))
            .subarray(length)
            .every((byte) => byte === 0),
        ).toBe(true)
    }
  })

  test('other files are no archives', async () => {
    const folder = testFolder()
    for (const name of ['text.tar', 'text.zip']) {
      writeFileSync(join(folder, name), 'This is no archive. '.repeat(100))
      await expectRefused(() => readAll(join(folder, name)), join(folder, name), /expected a (zip|tar) archive/)
    }
  })
})

test('an aborted signal ends the reading of a tar archive', async () => {
  const controller = new AbortController()
  const names: string[] = []
  const reading = (async () => {
    for await (const { name } of readTar(at('GNU.tar'), { signal: controller.signal })) {
      names.push(name)
      controller.abort()
    }
  })()
  await expect(reading).rejects.toThrow(/abort/i)
})
