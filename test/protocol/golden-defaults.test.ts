/** protocol/golden/defaults.json holds every section that has kinds or presets, with its defaults; Python's tests, whose side has none, read it. `UPDATE_GOLDEN=1 npx vitest run test/protocol` rewrites it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { resolveConfig, type TrainConfigInput } from '../../protocol/index.ts'

const FILE = new URL('../../protocol/golden/defaults.json', import.meta.url)

/** One entry per section, `kind` or `kind/preset`: what a user writes at least. */
const WRITTEN = {
  dataset: [
    { kind: 'digits' },
    { kind: 'emoji' },
    { kind: 'cifar10' },
    { kind: 'cifar100' },
    { kind: 'celeba' },
    { kind: 'image-folder', path: '/data/flowers' },
    { kind: 'parquet', repo: 'uoft-cs/cifar10' },
    { kind: 'arrays', path: '/data/flowers.npz' },
    { kind: 'idx' },
    { kind: 'custom', name: 'mine' },
  ],
  objective: [
    { kind: 'ddim' },
    { kind: 'consistency', preset: 'improved' },
    { kind: 'consistency', preset: 'original' },
    { kind: 'flow' },
    { kind: 'module', module: 'my_objective' },
  ],
  network: [
    { preset: 'tiny' },
    { preset: 'ddpm-cifar10' },
    { preset: 'flow-cifar10' },
    { preset: 'consistency-32' },
    { preset: 'consistency-64' },
    { kind: 'pretrained', initFrom: '/runs/first/pipeline' },
    { kind: 'module', module: 'my_network' },
  ],
} satisfies { [Section in keyof TrainConfigInput]?: TrainConfigInput[Section][] }

function resolveSections(): Record<string, Record<string, object>> {
  return Object.fromEntries(
    Object.entries(WRITTEN).map(([section, inputs]) => [section, Object.fromEntries(inputs.map((input) => resolveOne(section, input)))]),
  )
}

function resolveOne(section: string, input: object): [key: string, complete: object] {
  const resolved = resolveConfig({ dataset: { kind: 'digits' }, outputDir: 'unused', [section]: input })
  if ('problems' in resolved) throw new Error(JSON.stringify(resolved.problems))
  const complete = resolved.config[section as keyof typeof WRITTEN]
  return ['preset' in complete ? `${complete.kind}/${complete.preset}` : complete.kind, complete]
}

test('the committed defaults are those of the schemas', () => {
  const sections = resolveSections()
  if (process.env['UPDATE_GOLDEN']) writeFileSync(FILE, `${JSON.stringify(sections, null, 2)}\n`)
  expect(JSON.parse(readFileSync(FILE, 'utf8'))).toEqual(sections)
})
