/** `immiscible config`, `init` and the generated flags, as a shell sees them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listConfigFields } from '../../../ts/index.ts'
import { folderWith, immiscible } from '../config/load.ts'
import { typeCheck } from '../config/type-check.ts'

const NEEDED = ['--dataset', 'digits', '--output-dir', 'x']
const kebab = (path: string): string => path.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

describe('help', () => {
  test.each(['train', 'serve', 'config'])('%s has every leaf of the config, with what it is, in the group of its section', (command) => {
    const { status, stdout } = immiscible(folderWith(), [command, '--help'])
    expect(status).toBe(0)
    const groups = stdout.split(/^(?=\w+:$)/m)
    for (const { path, choices, default: value } of listConfigFields()) {
      const heading = path.includes('.') ? path.split('.')[0] : 'run'
      const group = groups.find((text) => text.startsWith(`${heading}:\n`)) ?? ''
      const [, text = ''] = group.split(`\n  --${kebab(path)} `)
      const flat = text.split('\n  --')[0].replaceAll(/\s+/g, ' ')
      expect(flat, path).toMatch(/^[<[].+[>\]] \S/)
      for (const choice of choices) expect(flat, path).toContain(choice)
      if (value !== undefined) expect(flat, path).toContain(`(default: ${JSON.stringify(value)})`)
    }
  })

  test('short names, exit codes', () => {
    const { stdout } = immiscible(folderWith(), ['train', '--help'])
    for (const flag of [
      'dataset',
      'image-scale',
      'objective',
      'network',
      'assignment',
      'pool-size',
      'learning-rate',
      'device',
      'client-key',
    ]) {
      expect(stdout).toContain(`\n  --${flag} <`)
    }
    const { stdout: all } = immiscible(folderWith(), ['--help'])
    for (const code of [0, 1, 2, 3, 130]) expect(all).toMatch(new RegExp(`^ +${code} +\\w`, 'm'))
    const readme = readFileSync(join(import.meta.dirname, '..', '..', '..', 'README.md'), 'utf8')
    for (const code of [0, 1, 2, 3, 130]) expect(readme).toMatch(new RegExp(`^\\| ${code} +\\| \\w`, 'm'))
  })
})

test.each([
  [['--seed', 'many'], /option '--seed <integer>' argument 'many' is invalid\. expected a whole number, got 'many'/],
  [['--learning-rate', 'fast'], /option '--learning-rate <number>'.*expected a number, got 'fast'/],
  [['--training.torch-compile', 'perhaps'], /option '--training\.torch-compile \[true\|false\]'.*expected true or false/],
  [['--network.block-out-channels', '8,x'], /option '--network\.block-out-channels <a,b>'.*expected a whole number, got 'x'/],
  [['--objective.options', '[1]'], /option '--objective\.options <json>'.*expected a JSON object, got '\[1\]'/],
  [['--optimizer.lerning-rate', '1'], /unknown option '--optimizer\.lerning-rate'\n\(Did you mean --optimizer\.learning-rate\?\)/],
  [['--datset', 'digits'], /unknown option '--datset'\n\(Did you mean --dataset\?\)/],
  [['--device', 'gpu'], /worker\.device: expected one of 'auto', 'cuda', 'mps', 'cpu', got 'gpu' \(flag --device\)/],
  [['--objective.sigma-max', '3'], /objective\.sigmaMax: unknown key of 'ddim'; 'consistency' has it \(flag --objective\.sigma-max\)/],
  [['--ema.decay', '1'], /ema\.decay: expected less than 1, got 1 \(flag --ema\.decay\)/],
])('config %j exits 2 and names the flag', (args, message) => {
  const { status, stderr, stdout } = immiscible(folderWith(), ['config', ...NEEDED, ...args])
  expect(stderr).toMatch(message)
  expect([status, stdout]).toEqual([2, ''])
})

test('config prints an aligned table of value and source; the flags of every type arrive', () => {
  const folder = folderWith({ 'immiscible.config.yaml': 'dataset: digits\nassignment: paper-linear\nruns:\n  a: { outputDir: there }\n' })
  const text =
    '--training.torch-compile --training.deterministic false --objective.snr-gamma null --ema.decay 0.5 --network.block-out-channels 8,16 ' +
    '--client-key a,b c --key-file k --listen tcp://127.0.0.1:* --tracking.report-to []'
  const flags = text.split(' ')
  const { status, stdout, stderr } = immiscible(folder, ['config', ...flags], { IMMISCIBLE_SEED: '9' })
  expect([status, stderr]).toEqual([0, expect.stringMatching(/^config .*immiscible\.config\.yaml, run a\n$/)])
  const lines = stdout.trimEnd().split('\n')
  const row = (path: string): string[] => (lines.find((line) => line.startsWith(`${path} `)) ?? '').split(/ {2,}/)
  expect(row('field')).toEqual(['field', 'value', 'from'])
  expect(row('training.torchCompile')).toEqual(['training.torchCompile', 'true', 'flag --training.torch-compile'])
  expect(row('training.deterministic')).toEqual(['training.deterministic', 'false', 'flag --training.deterministic'])
  expect(row('objective.snrGamma')).toEqual(['objective.snrGamma', 'null', 'flag --objective.snr-gamma'])
  expect(row('network.blockOutChannels')).toEqual(['network.blockOutChannels', '[8,16]', 'flag --network.block-out-channels'])
  expect(row('worker.listen.clientKeys')).toEqual(['worker.listen.clientKeys', '["a,b","c"]', 'flag --client-key'])
  expect(row('tracking.reportTo')).toEqual(['tracking.reportTo', '[]', 'flag --tracking.report-to'])
  expect(row('assignment.metric')).toEqual(['assignment.metric', '"l2"', 'preset paper-linear (file immiscible.config.yaml)'])
  expect(row('seed')).toEqual(['seed', '9', 'env IMMISCIBLE_SEED'])
  expect(row('outputDir')).toEqual(['outputDir', '"there"', 'file immiscible.config.yaml, run a'])
  const from = lines[0].indexOf('from')
  for (const line of lines) expect(line.slice(from - 2, from)).toBe('  ')
})

describe('init', () => {
  test('--yes writes a config that type-checks and resolves; a second one is refused, whatever the first is called', () => {
    const folder = folderWith()
    const made = immiscible(folder, ['init', '--yes'])
    expect([made.status, made.stdout]).toEqual([0, 'immiscible.config.ts\n'])
    expect(typeCheck(folder)).toEqual([])
    const text = readFileSync(join(folder, 'immiscible.config.ts'), 'utf8')
    expect(text).toContain("import { defineConfig } from 'immiscible'")
    const { config } = JSON.parse(immiscible(folder, ['config', '--json']).stdout) as { config: object }
    expect(config).toMatchObject({ dataset: { kind: 'digits' }, objective: { kind: 'ddim' }, assignment: { kind: 'quantized' } })
    for (const existing of [folder, folderWith({ 'immiscible.config.yml': '' })]) {
      const { status, stderr } = immiscible(existing, ['init', '--yes'])
      expect(stderr).toMatch(/^immiscible: init: expected a folder without a config file, got one with immiscible\.config\.(ts|yml)\n$/)
      expect(status).toBe(2)
    }
    expect(readFileSync(join(folder, 'immiscible.config.ts'), 'utf8')).toBe(text)
  })

  test('without a terminal it asks for --yes, unless every answer is a flag', () => {
    const folder = folderWith()
    const { status, stderr } = immiscible(folder, ['init'])
    expect(stderr).toBe('immiscible: init: expected a terminal to ask in, got none; --yes takes the defaults\n')
    expect(status).toBe(2)
    const answers = ['--dataset', 'emoji', '--objective', 'flow', '--assignment', 'greedy']
    expect(immiscible(folder, ['init', '--dataset', 'mnist', '--yes'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("got 'mnist'") as string,
    })
    expect(immiscible(folder, ['init', ...answers])).toMatchObject({ status: 0 })
    const { config } = JSON.parse(immiscible(folder, ['config', '--json']).stdout) as { config: object }
    expect(config).toMatchObject({ dataset: { kind: 'emoji' }, objective: { kind: 'flow' }, assignment: { kind: 'greedy' } })
  })
})
