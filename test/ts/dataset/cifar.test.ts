/** CIFAR as its authors pack it, and as Python packs it again: digits in its layout, read pixel by pixel. */
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { openCifar } from '../../../ts/dataset/cifar.ts'
import { readPickle } from '../../../ts/dataset/pickle.ts'
import { cifar10Dataset, cifar100Dataset } from '../../../protocol/dataset.ts'
import { decodeAll, expectRefused, makeFiles, testFolder, type Files } from '../../fixture/dataset.ts'

const NAMES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
const PER_BATCH = 4

let files: Files<{ readonly labels: number[]; readonly coarse: number[]; readonly hostile: string[] }>
const at = (...names: string[]): string => join(files.folder, ...names)

beforeAll(async () => {
  files = (await makeFiles(`
import io, os, pickle, struct, tarfile
from sklearn.datasets import load_digits
digits = load_digits()
count, per_batch = 24, ${PER_BATCH}
images = np.zeros((count, 3, 32, 32), np.uint8)
small = np.kron(digits.images[:count] * 15, np.ones((4, 4))).astype(np.uint8)
for channel in range(3): images[:, channel] = small // (channel + 1) + channel
images.tofile(folder / 'images.bin')
rows = images.reshape(count, -1)
labels = digits.target[:count].tolist()
coarse = [label // 2 for label in labels]
names = ${JSON.stringify(NAMES)}
fine_names = [f'fine {number}' for number in range(100)]
coarse_names = [f'coarse {number}' for number in range(20)]
parts = [('data_batch_1', 0), ('data_batch_2', 1), ('data_batch_3', 2), ('data_batch_4', 3), ('data_batch_5', 4), ('test_batch', 5)]
cut = lambda sequence, part: sequence[part * per_batch:(part + 1) * per_batch]

def write(root, contents):
    (folder / root).mkdir(parents=True, exist_ok=True)
    for name, content in contents.items(): (folder / root / name).write_bytes(content)
def pack(archive, root, contents, order=None):
    with tarfile.open(folder / archive, 'w:gz') as tar:
        directory = tarfile.TarInfo(root); directory.type = tarfile.DIRTYPE; tar.addfile(directory)
        for name in order or contents:
            info = tarfile.TarInfo(f'{root}/{name}'); info.size = len(contents[name]); tar.addfile(info, io.BytesIO(contents[name]))

# The binary version.
binary = {'batches.meta.txt': ('\\n'.join(names) + '\\n\\n').encode(), 'readme.html': b'<html>'}
for name, part in parts: binary[name + '.bin'] = b''.join(bytes([label]) + row.tobytes() for label, row in zip(cut(labels, part), cut(rows, part)))
write('parent/cifar-10-batches-bin', binary)
pack('cifar-10-binary.tar.gz', 'cifar-10-batches-bin', binary, ['data_batch_1.bin', 'batches.meta.txt', 'data_batch_3.bin', 'data_batch_4.bin', 'test_batch.bin', 'readme.html', 'data_batch_5.bin', 'data_batch_2.bin'])
hundred = {'fine_label_names.txt': '\\n'.join(fine_names).encode(), 'coarse_label_names.txt': '\\n'.join(coarse_names).encode()}
for name, start, stop in (('train.bin', 0, 20), ('test.bin', 20, 24)):
    hundred[name] = b''.join(bytes([c, f]) + row.tobytes() for c, f, row in zip(coarse[start:stop], labels[start:stop], rows[start:stop]))
write('cifar-100-binary', hundred)
pack('cifar-100-binary.tar.gz', 'cifar-100-binary', hundred)

# What cPickle of Python 2 writes: protocol 2, str of bytes, a memo from 1 on, numbers for booleans. No Python of today can.
class Python2:
    def __init__(self): self.out = bytearray(b'\\x80\\x02'); self.memo = 0
    def put(self): self.memo += 1; self.out += b'q' + bytes([self.memo]) if self.memo < 256 else b'r' + struct.pack('<I', self.memo)
    def str(self, value):
        self.out += b'U' + bytes([len(value)]) + value if len(value) < 256 else b'T' + struct.pack('<I', len(value)) + value
        self.put()
    def int(self, value): self.out += b'K' + bytes([value]) if 0 <= value < 256 else b'M' + struct.pack('<H', value) if 0 <= value < 65536 else b'J' + struct.pack('<i', value)
    def items(self, values, write):
        self.out += b']'; self.put(); self.out += b'('
        for value in values: write(value)
        self.out += b'e'
    def globe(self, name): self.out += b'c' + name + b'\\n'; self.put()
    def array(self, rows):
        self.globe(b'numpy.core.multiarray\\n_reconstruct'); self.globe(b'numpy\\nndarray'); self.int(0); self.out += b'\\x85'; self.put(); self.str(b'b'); self.out += b'\\x87'; self.put(); self.out += b'R'; self.put()
        self.out += b'('; self.int(1); [self.int(side) for side in rows.shape]; self.out += b'\\x86'; self.put()
        self.globe(b'numpy\\ndtype'); self.str(b'u1'); self.int(0); self.int(1); self.out += b'\\x87'; self.put(); self.out += b'R'; self.put()
        self.out += b'('; self.int(3); self.str(b'|'); self.out += b'NNN'; self.int(-1); self.int(-1); self.int(0); self.out += b't'; self.put(); self.out += b'b'
        self.out += b'\\x89'; self.str(rows.tobytes()); self.out += b't'; self.put(); self.out += b'b'
    def dict(self, entries):
        self.out += b'}'; self.put(); self.out += b'('
        for key, value in entries.items():
            self.str(key)
            if isinstance(value, bytes): self.str(value)
            elif isinstance(value, int): self.int(value)
            elif isinstance(value, np.ndarray): self.array(value)
            else: self.items(value, lambda one: self.str(one) if isinstance(one, bytes) else self.int(one))
        self.out += b'u.'
        return bytes(self.out)

def batch_of(start, stop, part, keys=('labels',)):
    values = {'labels': labels, 'fine_labels': labels, 'coarse_labels': coarse}
    return {'batch_label': f'batch {part}'.encode(), **{key: values[key][start:stop] for key in keys}, 'data': rows[start:stop], 'filenames': [f'{number}.png'.encode() for number in range(start, stop)]}
def python2(entries):
    raw = Python2().dict({key.encode(): value for key, value in entries.items()})
    back = pickle.loads(raw, encoding='latin1')  # Python agrees that this is a pickle
    assert list(back) == list(entries) and all((np.array(back[key]) == np.array([v.decode() if isinstance(v, bytes) else v for v in value] if isinstance(value, list) else value)).all() for key, value in entries.items() if not isinstance(value, bytes))
    return raw
python = {'batches.meta': python2({'num_cases_per_batch': 10000, 'label_names': [name.encode() for name in names], 'num_vis': 3072}), 'readme.html': b'<html>'}
for name, part in parts: python[name] = python2(batch_of(part * per_batch, (part + 1) * per_batch, part))
write('cifar-10-batches-py', python)
pack('cifar-10-python.tar.gz', 'cifar-10-batches-py', python, ['data_batch_4', 'readme.html', 'test_batch', 'data_batch_3', 'batches.meta', 'data_batch_2', 'data_batch_5', 'data_batch_1'])
assert pickle.loads(python['data_batch_1'], encoding='latin1')['data'].tobytes() == rows[:4].tobytes()
both = ('fine_labels', 'coarse_labels')
hundred_python = {'meta': python2({'fine_label_names': [name.encode() for name in fine_names], 'coarse_label_names': [name.encode() for name in coarse_names]}), 'train': python2(batch_of(0, 20, 0, both)), 'test': python2(batch_of(20, 24, 0, both))}
write('cifar-100-python', hundred_python)
pack('cifar-100-python.tar.gz', 'cifar-100-python', hundred_python)

# As Python 3 writes it again: every protocol, keys of text and of bytes, arrays in either order, labels in arrays.
for protocol in (2, 3, 4, 5):
    for style in ('text', 'bytes', 'fortran', 'labels', 'read-only'):
        again = {'batches.meta': {'label_names': names}}
        for name, part in parts:
            batch = batch_of(part * per_batch, (part + 1) * per_batch, part)
            if style == 'fortran': batch['data'] = np.asfortranarray(batch['data'])
            if style == 'labels': batch['labels'] = np.array(batch['labels'], dtype='>i8' if protocol == 4 else np.int64)
            if style == 'read-only': batch['data'] = np.frombuffer(batch['data'].tobytes(), np.uint8).reshape(-1, 3072)
            again[name] = {key.encode(): value for key, value in batch.items()} if style == 'bytes' else batch
        write(f'again/{style}-{protocol}', {name: pickle.dumps(value, protocol=protocol) for name, value in again.items()})

# Pickles that would do something, and arrays of what is no number.
class Calls:
    def __init__(self, what, *args): self.reduced = (what, args)
    def __reduce__(self): return self.reduced
import builtins, subprocess, codecs
bad = {
    'system': Calls(os.system, f'touch {folder}/touched'), 'eval': Calls(builtins.eval, f'open("{folder}/touched", "w")'), 'popen': Calls(subprocess.Popen, ['touch', f'{folder}/touched']),
    'getattr': Calls(getattr, {}, 'clear'), 'class': Calls(object), 'fromfile': Calls(np.fromfile, '/etc/passwd'), 'load': Calls(np.load, '/etc/passwd'), 'decode': Calls(codecs.decode, b'x', 'zip'),
    'objects': np.array([{}, []], dtype=object), 'structured': np.zeros(2, dtype=[('a', 'u1')]), 'dates': np.zeros(2, dtype='M8[s]'), 'float': 1.5, 'set': {1, 2}, 'nested': [Calls(os.system, f'touch {folder}/touched')],
}
hostile = []
for protocol in (2, 4, 5):
    for name, value in bad.items():
        (folder / f'{name}-{protocol}.pickle').write_bytes(pickle.dumps({'data': value}, protocol=protocol)); hostile.append(f'{name}-{protocol}.pickle')
(folder / 'text.pickle').write_bytes(pickle.dumps({'data': 1}, protocol=0)); hostile.append('text.pickle')
(folder / 'list.pickle').write_bytes(pickle.dumps([1], protocol=2)); hostile.append('list.pickle')
(folder / 'fine.pickle').write_bytes(pickle.dumps({'data': np.zeros(2), 'x': [1, -2, 2**40, -2**40, None, True, (1, 2, 3, 4)]}, protocol=2))
raws = {
    'persistent': b'}(U\\x01aU\\x01bQu.', 'instance': b'(ios\\nsystem\\n.', 'object': b'(cos\\nsystem\\no.', 'newobj': b'cnumpy\\nndarray\\n)\\x81.', 'extension': b'\\x82\\x01.', 'buffer': b'\\x97.',
    'call': b'cnumpy\\nndarray\\n)R.', 'dtype': b'}(U\\x01acnumpy\\ndtype\\n(U\\x02O8K\\x00K\\x01tR(K\\x03U\\x01|NNNK\\x00K\\x00K\\x00tbu.', 'empty': b'', 'unmarked': b'}u.', 'memo': b'h\\x05.', 'bomb': b'(' * 300000 + b'.', 'lists': b']' * 300000 + b'.',
    'long': b'\\x8a\\x09' + b'\\x7f' * 9 + b'.', 'huge': b'T\\xff\\xff\\xff\\xffx.', 'huge8': b'\\x8e' + b'\\xff' * 8 + b'x.', 'frame': b'\\x95' + b'\\xff' * 8 + b'}.', 'trailing': b'}.}', 'unhashable': b'}(]K\\x01u.', 'line': b'c' + b'x' * 5000,
    'encode': b'}(X\\xe8\\x03\\x00\\x00' + b'y' * 1000 + b'q\\x01(c_codecs\\nencode\\nq\\x02' + b'h\\x01X\\x06\\x00\\x00\\x00latin1\\x86R' + b'h\\x02h\\x01X\\x06\\x00\\x00\\x00latin1\\x86R' * 20 + b'u.',
}
for name, raw in raws.items(): (folder / f'{name}.pickle').write_bytes(b'\\x80\\x02' + raw); hostile.append(f'{name}.pickle')
answer = {'labels': labels, 'coarse': coarse, 'hostile': hostile}
`)) as typeof files
})
afterAll(() => files.remove())
afterEach(() => vi.unstubAllEnvs())

const cifar10 = (path: string | null, split = 'train') => openCifar(cifar10Dataset.parse({ kind: 'cifar10', path, split }))
const cifar100 = (path: string | null, options = {}) => openCifar(cifar100Dataset.parse({ kind: 'cifar100', path, ...options }))
const imagesOf = (from: number, to: number): Buffer => readFileSync(at('images.bin')).subarray(from * 3072, to * 3072)

const TEN = ['parent', 'parent/cifar-10-batches-bin', 'cifar-10-binary.tar.gz', 'cifar-10-batches-py', 'cifar-10-python.tar.gz']

test.each(TEN)('%s: images, labels and classes of each split', async (name) => {
  for (const [split, from, to] of [
    ['train', 0, 20],
    ['test', 20, 24],
    ['all', 0, 24],
  ] as const) {
    const decoded = await decodeAll(cifar10(at(name), split))
    expect(decoded.imageShape).toEqual([3, 32, 32])
    expect(decoded.data.equals(imagesOf(from, to))).toBe(true)
    expect(decoded.labels).toEqual(files.answer.labels.slice(from, to))
    expect(decoded.classNames).toEqual(NAMES)
    expect(decoded.notes[0]).toContain(`${to - from} images: as published there are`)
  }
})

test.each(['cifar-100-binary', 'cifar-100-binary.tar.gz', 'cifar-100-python', 'cifar-100-python.tar.gz'])(
  '%s: fine and coarse labels',
  async (name) => {
    const fine = await decodeAll(cifar100(at(name)))
    expect(fine.data.equals(imagesOf(0, 20))).toBe(true)
    expect(fine.labels).toEqual(files.answer.labels.slice(0, 20))
    expect(fine.classNames).toHaveLength(100)
    const coarse = await decodeAll(cifar100(at(name), { labels: 'coarse', split: 'all' }))
    expect(coarse.data.equals(imagesOf(0, 24))).toBe(true)
    expect(coarse.labels).toEqual(files.answer.coarse)
    expect(coarse.classNames.slice(0, 2)).toEqual(['coarse 0', 'coarse 1'])
    expect(coarse.classNames).toHaveLength(20)
  },
)

test.each(['text', 'bytes', 'fortran', 'labels', 'read-only'].flatMap((style) => [2, 3, 4, 5].map((protocol) => `${style}-${protocol}`)))(
  'written again by Python 3: %s',
  async (name) => {
    const decoded = await decodeAll(cifar10(at('again', name), 'all'))
    expect(decoded.data.equals(imagesOf(0, 24))).toBe(true)
    expect(decoded.labels).toEqual(files.answer.labels)
    expect(decoded.classNames).toEqual(NAMES)
  },
)

test('without a path it is what was downloaded, or the error says what to do', async () => {
  const home = testFolder()
  vi.stubEnv('IMMISCIBLE_HOME', home)
  for (const [kind, open] of [
    ['cifar10', () => cifar10(null)],
    ['cifar100', () => cifar100(null)],
  ] as const) {
    const file = `${kind.replace('cifar', 'cifar-')}-binary.tar.gz`
    const path = join(home, 'downloads', kind, file)
    await expectRefused(async () => open(), path, new RegExp(`got nothing there: run immiscible data fetch ${kind}, or set dataset.path`))
    mkdirSync(join(home, 'downloads', kind), { recursive: true })
    copyFileSync(at(file), path)
    expect((await decodeAll(open())).data.equals(imagesOf(0, 20))).toBe(true)
  }
})

test('the identity changes with a file and with an option, and not where the folder lies', () => {
  const folder = testFolder()
  const copy = (name: string): string => {
    cpSync(at('cifar-100-python'), join(folder, name), { recursive: true, preserveTimestamps: true })
    return join(folder, name)
  }
  const first = copy('a')
  const identity = JSON.stringify(cifar100(first).identity)
  expect(JSON.stringify(cifar100(copy('b')).identity)).toBe(identity)
  expect(JSON.stringify(cifar100(first, { labels: 'coarse' }).identity)).not.toBe(identity)
  expect(JSON.stringify(cifar100(first, { split: 'test' }).identity)).not.toBe(identity)
  utimesSync(join(first, 'train'), 1, 1)
  expect(JSON.stringify(cifar100(first).identity)).not.toBe(identity)
})

describe('pickles', () => {
  test('all but plain data and numeric arrays is refused by the name of the file; nothing is run', async () => {
    expect(files.answer.hostile.length).toBeGreaterThan(50)
    for (const name of files.answer.hostile) {
      await expectRefused(
        async () => readPickle(readFileSync(at(name)), at(name)),
        at(name),
        /: expected a pickle as CIFAR's: expected .+, got /,
      )
    }
    expect(() => readFileSync(at('touched'))).toThrow('ENOENT')
  })

  test('the error names the global', async () => {
    const read = (name: string) => async () => readPickle(readFileSync(at(name)), at(name))
    await expectRefused(read('system-2.pickle'), at('system-2.pickle'), /"posix.system", which is not loaded/)
    await expectRefused(read('eval-4.pickle'), at('eval-4.pickle'), /"builtins.eval", which is not loaded/)
    await expectRefused(read('encode.pickle'), at('encode.pickle'), /encoded bytes/)
    await expectRefused(read('load-5.pickle'), at('load-5.pickle'), /load", which is not loaded/)
  })

  test('control: the data around them is read', () => {
    expect(readPickle(readFileSync(at('fine.pickle')), 'fine').get('x')).toEqual([1, -2, 2 ** 40, -(2 ** 40), null, true, [1, 2, 3, 4]])
  })
})

describe('what is not as it should be', () => {
  const changed = (source: string, change: (folder: string) => void): string => {
    const folder = testFolder()
    cpSync(at(source), folder, { recursive: true })
    change(folder)
    return folder
  }

  test('a batch that was cut off, within an image or between two', async () => {
    const inside = changed('parent/cifar-10-batches-bin', (folder) => truncateSync(join(folder, 'data_batch_3.bin'), 5000))
    await expectRefused(
      () => decodeAll(cifar10(inside)),
      join(inside, 'data_batch_3.bin'),
      /expected whole records of 3073 bytes, got 5000 bytes/,
    )
    const between = changed('parent/cifar-10-batches-bin', (folder) => truncateSync(join(folder, 'data_batch_3.bin'), 3073 * 2))
    await expectRefused(
      () => decodeAll(cifar10(between)),
      join(between, 'data_batch_3.bin'),
      /expected as many images as in the other batches, 4, got 2/,
    )
    const pickled = changed('cifar-10-batches-py', (folder) => truncateSync(join(folder, 'data_batch_5'), 5000))
    await expectRefused(() => decodeAll(cifar10(pickled)), join(pickled, 'data_batch_5'), /truncated/)
  })

  test('a label out of range, and too few names', async () => {
    const label = changed('parent/cifar-10-batches-bin', (folder) => {
      const bytes = readFileSync(join(folder, 'data_batch_2.bin'))
      bytes[3073] = 10
      writeFileSync(join(folder, 'data_batch_2.bin'), bytes)
    })
    await expectRefused(() => decodeAll(cifar10(label)), join(label, 'data_batch_2.bin'), /expected labels 0 to 9, got 10 of image 1/)
    const names = changed('parent/cifar-10-batches-bin', (folder) => writeFileSync(join(folder, 'batches.meta.txt'), 'airplane\nship\n'))
    await expectRefused(() => decodeAll(cifar10(names)), join(names, 'batches.meta.txt'), /expected 10 class names, got 2/)
  })

  test('files that are not there', async () => {
    const missing = changed('cifar-10-batches-py', (folder) => rmSync(join(folder, 'data_batch_4')))
    await expectRefused(async () => cifar10(missing), join(missing, 'data_batch_4'), /got nothing there/)
    expect((await decodeAll(cifar10(missing, 'test'))).labels).toHaveLength(PER_BATCH)
    const empty = testFolder()
    await expectRefused(async () => cifar10(empty), empty, /expected batches.meta.txt .* or batches.meta .*, got neither/)
    await expectRefused(async () => cifar10(join(empty, 'x.tar.gz')), join(empty, 'x.tar.gz'), /got nothing there/)
  })

  test('an archive of something else, or cut off', async () => {
    await expectRefused(
      () => decodeAll(cifar10(at('cifar-100-binary.tar.gz'))),
      at('cifar-100-binary.tar.gz'),
      /expected a member batches.meta.txt or batches.meta, got none/,
    )
    const folder = testFolder()
    const path = join(folder, 'cut.tar.gz')
    const whole = readFileSync(at('cifar-10-binary.tar.gz'))
    for (const length of [0, 30, 2000, whole.length - 5]) {
      writeFileSync(path, whole.subarray(0, length))
      await expectRefused(() => decodeAll(cifar10(path)), path, /expected/)
    }
    writeFileSync(path, whole)
    expect((await decodeAll(cifar10(path))).data.equals(imagesOf(0, 20))).toBe(true)
  })
})
