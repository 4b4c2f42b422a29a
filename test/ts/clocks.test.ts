/** The wall clock tells when things happened, in events, names and logs; nothing is decided by it, so that its jumps do nothing. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const WALL_CLOCK =
  /\bDate\.now\b|\bnew Date\(|\bDate\(\)|\btime\.time(?:_ns)?\b|\bdatetime\b|\bperformance\.timeOrigin\b|\bfrom time import\b/

/** The lines that may read it, each with what it tells. */
const TOLD: Readonly<Record<string, readonly RegExp[]>> = {
  'ts/python/with-metric.ts': [/time: Date\.now\(\)/],
  'ts/view/page/panels.mjs': [/time: items\[0\]\?\.time \?\? Date\.now\(\)/, /const at = new Date\(time\)/],
  'ts/report/run-report.ts': [/time: Date\.now\(\)/],
  'ts/train.ts': [/time: Date\.now\(\)/, /createdAt: new Date\(\)/],
  // Retry-After may be a date.
  'ts/download/retry.ts': [/at - Date\.now\(\)/],
  'ts/dataset/cache/write.ts': [/createdAt: new Date\(\)/],
  'ts/worker/managed-environment.ts': [/writeFileSync\(logFile, `\$\{new Date\(\)/],
  'ts/recipe/objectives.ts': [/const stamp = new Date\(\)/],
  'ts/cli/demo.ts': [/const stamp = new Date\(\)/],
  // How long the installation of the packages took, for its last line.
  'ts/bootstrap/bootstrap.mjs': [/const started = Date\.now\(\)/, /const seconds = \(\) => `\$\{Math\.round/],
}

function findDecisions(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files).flatMap(([file, source]) =>
    source.split('\n').flatMap((line, at) => {
      const isTold = !WALL_CLOCK.test(line) || (TOLD[file] ?? []).some((told) => told.test(line))
      return isTold ? [] : [`${file}:${at + 1}: ${line.trim()}`]
    }),
  )
}

test('the wall clock is read only where a time is told', () => {
  const files = ['ts', 'protocol', 'py/immiscible_worker']
    .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)))
    .filter((file) => /\.(ts|mjs|py)$/.test(file))
  expect(files.length).toBeGreaterThan(100)
  expect(
    findDecisions(Object.fromEntries(files.map((file) => [file.replaceAll('\\', '/'), readFileSync(join(ROOT, file), 'utf8')]))),
  ).toEqual([])
})

test.each([
  ['ts/worker/session.ts', 'const deadline = Date.now() + 1000'],
  ['ts/train.ts', 'if (new Date().getHours() > 3) stop()'],
  ['py/immiscible_worker/channel.py', '        heard_at = time.time()'],
  ['py/immiscible_worker/worker.py', 'from time import time'],
  ['py/immiscible_worker/worker.py', '    started = datetime.now()'],
])('control: %s: %s is found', (file, source) => {
  expect(findDecisions({ [file]: source })).toHaveLength(1)
})
