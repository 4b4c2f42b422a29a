/** Downloaded files against the published checksums: what is whole cannot be made here, so the catalogue's own digest of a planted file is compared. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CATALOG } from '../../../ts/download/catalog.ts'
import { verifyDownloads, type DownloadCheck } from '../../../ts/download/verify.ts'
import { useTemporaryHome } from '../../fixture/home.ts'

const home = useTemporaryHome()

async function verify(names?: readonly string[]): Promise<DownloadCheck[]> {
  const checks: DownloadCheck[] = []
  for await (const check of verifyDownloads(names)) checks.push(check)
  return checks
}

test('what is not there is no problem; what is there and is another file is named, with both checksums', async () => {
  expect(await verify()).toEqual([])
  const folder = join(home(), 'downloads', 'cifar10')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'cifar-10-binary.tar.gz')
  writeFileSync(file, 'another file')
  const expected = CATALOG['cifar10'].files[0].checksum.digest
  const got = createHash('md5').update('another file').digest('hex')
  expect(await verify()).toEqual([
    { name: 'cifar10', folder, bytes: 12, problems: [{ file, message: `expected md5 ${expected}, got ${got}` }] },
  ])
  expect(await verify(['mnist'])).toEqual([])
})

test('control: a file with the digest of its entry is whole', async () => {
  const name = 'planted'
  const digest = createHash('md5').update('whole').digest('hex')
  const catalog = CATALOG as Record<string, (typeof CATALOG)[string]>
  catalog[name] = { ...CATALOG['cifar10'], files: [{ name: 'a', checksum: { algorithm: 'md5', digest } }] }
  try {
    mkdirSync(join(home(), 'downloads', name), { recursive: true })
    writeFileSync(join(home(), 'downloads', name, 'a'), 'whole')
    expect(await verify([name])).toMatchObject([{ bytes: 5, problems: [] }])
  } finally {
    delete catalog[name]
  }
})
