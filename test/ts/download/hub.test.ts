/** Data sets of the Hub: a local server with its API, and Python's huggingface_hub, which must find what was downloaded. */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { addDataFetch } from '../../../ts/cli/data-fetch.ts'
import { hubCacheFolder } from '../../../ts/cache-folder.ts'
import { findParquet } from '../../../ts/dataset/parquet-find.ts'
import { openHubCache } from '../../../ts/download/hub-cache.ts'
import { fetchDataset } from '../../../ts/index.ts'
import { drop, serveFiles, type FileServer } from '../../fixture/file-server.ts'
import { runPython } from '../../fixture/python.ts'

const REPO = 'someone/pictures'
const COMMIT = 'a'.repeat(40)
const PER_PAGE = 2

interface HubEntry {
  readonly content: Buffer
  readonly isLfs: boolean
  /** What the list says instead of the truth. */
  readonly lie?: Readonly<Record<string, unknown>>
}

const FILES: Readonly<Record<string, HubEntry>> = {
  'README.md': { content: Buffer.from('# Pictures'), isLfs: false },
  'data/train-00000-of-00002.parquet': { content: Buffer.alloc(5000, 'one'), isLfs: true },
  'data/train-00001-of-00002.parquet': { content: Buffer.alloc(6000, 'two'), isLfs: true },
  'data/test-00000-of-00001.parquet': { content: Buffer.from('small, so in git itself'), isLfs: false },
}
const PATHS = Object.keys(FILES)
  .filter((path) => path.endsWith('.parquet'))
  .toSorted()

let home: string
let server: FileServer
let cache: string
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'immiscible-hub-'))
  cache = join(home, 'hub')
  server = await serveFiles()
  for (const name of ['HF_HUB_CACHE', 'HF_HUB_OFFLINE', 'IMMISCIBLE_OFFLINE', 'HF_TOKEN', 'XDG_CACHE_HOME']) vi.stubEnv(name, undefined)
  vi.stubEnv('HF_HOME', home)
  vi.stubEnv('HF_ENDPOINT', server.url)
  publish(FILES)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server[Symbol.asyncDispose]()
  rmSync(home, { recursive: true, force: true })
})

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const gitOid = (bytes: Buffer): string => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
const snapshot = (path: string): string => join(cache, 'datasets--someone--pictures', 'snapshots', COMMIT, path)
const downloads = (): string[] => server.requests.map(({ path }) => path).filter((path) => path.includes('/resolve/'))

/** The API as the Hub has it: a commit, a list in pages, files. */
function publish(files: Readonly<Record<string, HubEntry>>, commit = COMMIT): void {
  server.files.clear()
  const entries: unknown[] = Object.entries(files).map(([path, { content, isLfs, lie }]) => {
    const own = { type: 'file', path, size: content.length, oid: gitOid(isLfs ? Buffer.from('pointer') : content) }
    return { ...own, ...(isLfs && { lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } }), ...lie }
  })
  entries.unshift({ type: 'directory', path: 'data', oid: '0'.repeat(40), size: 0 })
  server.files.set(`/api/datasets/${REPO}/revision/main`, { bytes: Buffer.from(JSON.stringify({ sha: commit, id: REPO })) })
  const tree = `/api/datasets/${REPO}/tree/${commit}?recursive=true`
  server.misbehave = ({ path, response }) => {
    if (!path.startsWith(tree)) return false
    const at = Number(/cursor=(\d+)/.exec(path)?.[1] ?? 0)
    const isLast = at + PER_PAGE >= entries.length
    response.writeHead(200, isLast ? {} : { link: `<${server.url}${tree}&cursor=${at + PER_PAGE}>; rel="next"` })
    return response.end(JSON.stringify(entries.slice(at, at + PER_PAGE))) !== undefined
  }
  for (const [path, { content }] of Object.entries(files)) {
    server.files.set(`/datasets/${REPO}/resolve/${commit}/${path}`, { bytes: content, etag: `"${sha256(content)}"` })
  }
}

describe("Python's cache", () => {
  test('has the files where Python finds them, and they are not downloaded again', async () => {
    const seen = new Set<string>()
    const fetched = await fetchDataset(REPO, { onProgress: ({ file }) => seen.add(file) })
    expect(fetched).toEqual({ files: PATHS.map(snapshot), licence: null })
    expect([...seen]).toEqual(PATHS)
    for (const path of PATHS) {
      const { content, isLfs } = FILES[path]
      expect(Buffer.compare(readFileSync(snapshot(path)), content)).toBe(0)
      expect(readlinkSync(snapshot(path))).toBe(`../../../blobs/${isLfs ? sha256(content) : gitOid(content)}`)
    }
    const found = await runPython<{ file: string | null; missing: string | null; folder: string; cached: unknown[] }>(
      `
import os
os.environ["HF_HUB_OFFLINE"] = "1"
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
info = scan_cache_dir()
answer = {
    "file": try_to_load_from_cache(args["repo"], args["path"], repo_type="dataset"),
    "missing": try_to_load_from_cache(args["repo"], "none.parquet", repo_type="dataset"),
    "folder": snapshot_download(args["repo"], repo_type="dataset", local_files_only=True, allow_patterns="*.parquet"),
    "cached": [[repo.repo_id, repo.repo_type, repo.nb_files, sorted(repo.refs), repo.size_on_disk] for repo in info.repos] + [str(w) for w in info.warnings],
}
`,
      { repo: REPO, path: PATHS[1] },
    )
    const size = PATHS.reduce((sum, path) => sum + FILES[path].content.length, 0)
    expect(found).toEqual({
      file: snapshot(PATHS[1]),
      missing: null,
      folder: join(cache, 'datasets--someone--pictures', 'snapshots', COMMIT),
      cached: [[REPO, 'dataset', 3, ['main'], size]],
    })
    expect(downloads().length).toBe(3)
    expect(await fetchDataset(REPO)).toEqual(fetched)
    expect(downloads().length).toBe(3)
    // Control: a blob that is gone is fetched again, alone.
    rmSync(join(cache, 'datasets--someone--pictures', 'blobs', sha256(FILES[PATHS[1]].content)))
    await fetchDataset(REPO)
    expect(downloads().slice(3)).toEqual([`/datasets/${REPO}/resolve/${COMMIT}/${PATHS[1]}`])
    const blobs = readdirSync(join(cache, 'datasets--someone--pictures', 'blobs'))
    expect(blobs.every((name) => /^[0-9a-f]+$/.test(name))).toBe(true)
  })

  test('is by HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and the home folder, in this order', () => {
    const env = { HF_HUB_CACHE: '/a', HF_HOME: '/b', XDG_CACHE_HOME: '/c' }
    expect(hubCacheFolder(env)).toBe('/a')
    expect(hubCacheFolder({ ...env, HF_HUB_CACHE: '' })).toBe('/b/hub')
    expect(hubCacheFolder({ XDG_CACHE_HOME: '/c' })).toBe('/c/huggingface/hub')
    expect(hubCacheFolder({})).toMatch(/\/\.cache\/huggingface\/hub$/)
  })

  test('has copies where links are not possible', async () => {
    await fetchDataset(REPO)
    const refuse: typeof symlinkSync = () => {
      throw Object.assign(new Error('EPERM'), { code: 'EPERM' })
    }
    const [path] = PATHS
    const digest = gitOid(FILES[path].content)
    const copied = openHubCache(REPO, refuse).place(digest, COMMIT, `copy/${path}`)
    expect([lstatSync(copied).isFile(), readFileSync(copied, 'utf8')]).toEqual([true, FILES[path].content.toString()])
    expect(openHubCache(REPO).place(digest, COMMIT, `copy/${path}`)).toBe(copied)
    expect(lstatSync(copied).isFile()).toBe(true)
  })

  test('keeps both commits where a branch moves on', async () => {
    await fetchDataset(REPO)
    const moved = 'b'.repeat(40)
    publish(FILES, moved)
    const { files } = await fetchDataset(REPO)
    expect(files.every((file) => file.includes(moved) && existsSync(file))).toBe(true)
    expect(existsSync(snapshot(PATHS[0]))).toBe(true)
    expect(readFileSync(join(cache, 'datasets--someone--pictures', 'refs', 'main'), 'utf8')).toBe(moved)
    expect(downloads().length).toBe(3)
  })
})

test('a split picks files', async () => {
  expect((await fetchDataset(REPO, { split: 'train' })).files).toEqual(PATHS.slice(1).map(snapshot))
  expect(downloads().length).toBe(2)
  expect(findParquet({ path: null, repo: REPO, revision: 'main', split: 'train' }).files.map(({ path }) => path)).toEqual(
    PATHS.slice(1).map(snapshot),
  )
  await expect(fetchDataset(REPO, { split: 'valid' })).rejects.toThrow(
    `${REPO}: expected parquet files whose name begins with 'valid', got data/test-00000-of-00001.parquet, data/train`,
  )
  await expect(fetchDataset(REPO, { split: 'trai' })).rejects.toThrow("whose name begins with 'trai'")
  publish({ 'all.parquet': FILES[PATHS[0]] })
  expect((await fetchDataset(REPO, { split: 'valid' })).files).toEqual([snapshot('all.parquet')])
})

test('offline, what is there is found, and what is not is missed', async () => {
  await fetchDataset(REPO, { split: 'train' })
  const numRequests = server.requests.length
  expect((await fetchDataset(REPO, { split: 'train', offline: true })).files).toEqual(PATHS.slice(1).map(snapshot))
  expect((await fetchDataset(REPO, { revision: COMMIT, offline: true })).files.length).toBe(2)
  await expect(fetchDataset(REPO, { offline: true, split: 'test' })).rejects.toThrow("whose name begins with 'test'")
  await expect(fetchDataset(REPO, { offline: true, revision: 'v2' })).rejects.toThrow(
    `expected a snapshot of ${REPO} at v2, got nothing there; offline`,
  )
  rmSync(snapshot(PATHS[1]))
  await expect(fetchDataset(REPO, { split: 'train', offline: true })).rejects.toThrow(`expected ${PATHS[1]} of ${REPO}`)
  expect(server.requests.length).toBe(numRequests)
})

test('the command goes on after a drop, and prints the paths', async () => {
  const whole = server.misbehave
  const partial = join(cache, 'datasets--someone--pictures', 'blobs', `${sha256(FILES[PATHS[1]].content)}.partial`)
  const file = server.files.get(`/datasets/${REPO}/resolve/${COMMIT}/${PATHS[1]}`)
  server.misbehave = (context) => {
    const isDropped = file !== undefined && context.path.endsWith(PATHS[1]) && context.attempt === 0
    return isDropped ? drop(context, file, 2000, partial) : whole(context)
  }
  const [printed, logged]: [string[], string[]] = [[], []]
  const data = new Command('data')
  addDataFetch(
    data,
    (text) => printed.push(text),
    (text) => logged.push(text),
  )
  await data.parseAsync(['fetch', REPO, '--revision', 'main', '--split', 'train'], { from: 'user' })
  expect(printed).toEqual([PATHS.slice(1).map(snapshot).join('\n')])
  expect(logged).toEqual([expect.stringContaining('the connection was dropped: once more in 1 s')])
  expect(server.requests.at(-2)?.headers.range).toBe('bytes=2000-')
})

describe('a token', () => {
  test('goes to the endpoint, and to nobody that it redirects to', async () => {
    await using other = await serveFiles(Object.fromEntries(PATHS.map((path) => [`/${path}`, { bytes: FILES[path].content }])))
    const whole = server.misbehave
    server.misbehave = (context) => {
      const path = context.path.split(`/resolve/${COMMIT}/`)[1]
      return path === undefined ? whole(context) : context.response.writeHead(302, { location: `${other.url}/${path}` }).end() !== undefined
    }
    vi.stubEnv('HF_TOKEN', 'hf_secret')
    await fetchDataset(REPO)
    expect(new Set(server.requests.map(({ headers }) => headers.authorization))).toEqual(new Set(['Bearer hf_secret']))
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined, undefined])
    // Control: without one none is sent.
    vi.stubEnv('HF_TOKEN', '')
    server.requests.length = 0
    await fetchDataset(REPO)
    expect(new Set(server.requests.map(({ headers }) => headers.authorization))).toEqual(new Set([undefined]))
  })

  test('is asked for where there is none, and is not in the message where it may not read', async () => {
    server.misbehave = ({ response }) => response.writeHead(401).end() !== undefined
    await expect(fetchDataset(REPO)).rejects.toThrow(/got 401 Unauthorized: it is not there, or not for everybody: set HF_TOKEN/)
    vi.stubEnv('HF_TOKEN', 'hf_secret')
    const failure = fetchDataset(REPO)
    await expect(failure).rejects.toThrow(`HF_TOKEN may not read it; where it has terms, accept them at ${server.url}/datasets/${REPO}`)
    await expect(failure).rejects.toThrow(/^(?!.*hf_secret)/s)
  })
})

describe('what the Hub says is not trusted', () => {
  const [path] = PATHS
  const entry = FILES[path]
  test.each<[string, Readonly<Record<string, HubEntry>>, string]>([
    ['a path out of the cache', { '../../../../escape.parquet': entry }, 'expected a path within the data set'],
    ['an absolute path', { '/escape.parquet': entry }, 'expected a path within the data set'],
    ['a path of Windows', { 'data\\..\\escape.parquet': entry }, 'expected a path within the data set'],
    ['a checksum that is a path', { [path]: { ...entry, lie: { oid: '../../escape' } } }, 'expected a checksum, got "../../escape"'],
    ['no checksum', { [path]: { ...entry, lie: { oid: undefined } } }, 'expected a checksum, got undefined'],
    ['no size', { [path]: { ...entry, lie: { size: '5' } } }, 'expected a size, got "5"'],
    ['another size', { [path]: { ...entry, lie: { size: 5 } } }, `expected 5 bytes, got ${entry.content.length}`],
    [
      'another checksum',
      { [path]: { ...entry, lie: { oid: '0'.repeat(40) } } },
      `expected git ${'0'.repeat(40)}, got ${gitOid(entry.content)}`,
    ],
    ['no parquet file', { 'README.md': entry }, 'expected parquet files, got none'],
  ])('%s', async (_name, files, message) => {
    publish(files)
    await expect(fetchDataset(REPO)).rejects.toThrow(message)
    const all = existsSync(home) ? readdirSync(home, { recursive: true, encoding: 'utf8' }) : []
    expect(all.filter((name) => name.includes('escape') || name.includes('snapshots') || name.includes('partial'))).toEqual([])
  })

  test('a commit that is a path, a list that is none, a list without end', async () => {
    server.files.set(`/api/datasets/${REPO}/revision/main`, { bytes: Buffer.from('{"sha":"../../x"}') })
    await expect(fetchDataset(REPO)).rejects.toThrow('expected a commit, got "../../x"')
    publish(FILES)
    const tree = `/api/datasets/${REPO}/tree/`
    server.misbehave = ({ path: asked, response }) => asked.startsWith(tree) && response.end('{}') !== undefined
    await expect(fetchDataset(REPO)).rejects.toThrow('expected a list of files, got object')
    server.misbehave = ({ path: asked, response }) => asked.startsWith(tree) && response.end('<html>') !== undefined
    await expect(fetchDataset(REPO)).rejects.toThrow('expected JSON, got something else')
    server.misbehave = ({ path: asked, response }) => {
      if (!asked.startsWith(tree)) return false
      response.setHeader('link', `<${server.url}${asked}>; rel="next"`)
      return response.end('[]') !== undefined
    }
    await expect(fetchDataset(REPO)).rejects.toThrow('expected at most 1000 pages, got more')
  })

  test.each(['../x', 'a/../../b', '/etc', 'a b', ''])('a revision as %j', async (revision) => {
    await expect(fetchDataset(REPO, { revision })).rejects.toThrow('expected a branch, tag or commit, got')
    expect(server.connections).toBe(0)
  })

  test.each(['../pictures', 'someone/..', './x'])('a name as %s', async (name) => {
    await expect(fetchDataset(name)).rejects.toThrow('OWNER/NAME')
    expect(server.connections).toBe(0)
  })

  test('control: a revision with a slash is one', async () => {
    server.files.set(`/api/datasets/${REPO}/revision/refs%2Fconvert%2Fparquet`, { bytes: Buffer.from(JSON.stringify({ sha: COMMIT })) })
    await fetchDataset(REPO, { revision: 'refs/convert/parquet' })
    expect(readFileSync(join(cache, 'datasets--someone--pictures', 'refs', 'refs', 'convert', 'parquet'), 'utf8')).toBe(COMMIT)
  })

  test('a broken ref of the cache is none', async () => {
    await fetchDataset(REPO)
    writeFileSync(join(cache, 'datasets--someone--pictures', 'refs', 'main'), '../../..')
    await expect(fetchDataset(REPO, { offline: true })).rejects.toThrow('expected a snapshot')
  })
})
