/** Every check of the project, one after the other, all of them whatever fails. `npm test -- ts|py|lint|package` runs a part. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateFiles } from '../../protocol/generate.ts'
import { run } from '../process.ts'
import { workerEnv } from '../worker/environment.ts'
import { ensureBrowser } from './browser.ts'
import { setUp } from './setup.ts'

const ROOT = join(import.meta.dirname, '..', '..')

type Command = readonly [program: string, ...args: string[]]

interface Step {
  readonly name: string
  readonly group: 'lint' | 'ts' | 'py' | 'package'
  /** Where the commands run, from the root. */
  readonly cwd?: string
  readonly commands?: readonly Command[]
  /** Show output as it comes; otherwise only what failed is shown. */
  readonly isLive?: boolean
  /** A check in this process: answers what is wrong. */
  readonly check?: () => string | undefined
}

function listSteps(python: string): readonly Step[] {
  const pythonFolders = ['.', '../test/py', '../test/gpu', '../test/reliability', '../ts/dataset']
  return [
    { name: 'protocol is generated', group: 'lint', check: checkProtocol },
    { name: 'tsc', group: 'lint', commands: [['tsc', '--noEmit']] },
    { name: 'oxlint', group: 'lint', commands: [['oxlint', '--type-aware', '--deny-warnings']] },
    { name: 'oxfmt', group: 'lint', commands: [['oxfmt', '--check']] },
    { name: 'ruff check', group: 'lint', cwd: 'py', commands: [[python, '-m', 'ruff', 'check', ...CONFIG, ...pythonFolders]] },
    { name: 'ruff format', group: 'lint', cwd: 'py', commands: [[python, '-m', 'ruff', 'format', '--check', ...CONFIG, ...pythonFolders]] },
    { name: 'pyright', group: 'lint', commands: [['pyright', '-p', 'py', '--pythonpath', python]] },
    { name: 'vitest', group: 'ts', commands: [['vitest', 'run']], isLive: true },
    {
      name: 'pytest',
      group: 'py',
      cwd: 'py',
      commands: [[python, '-m', 'pytest', '-c', 'pyproject.toml', '-n', '2', '../test/py', '../test/gpu']],
      isLive: true,
    },
    {
      name: 'build, publint, attw',
      group: 'package',
      commands: [
        ['node', 'ts/bootstrap/build.ts'],
        ['publint', '--strict'],
        // Packs: dist is built again by npm itself, and what it would publish is judged. Types are for import alone, as the package is.
        ['attw', '--pack', '.', '--profile', 'esm-only'],
      ],
    },
  ]
}

const CONFIG = ['--config', 'pyproject.toml']

function checkProtocol(): string | undefined {
  const stale = Object.entries(generateFiles()).filter(([path, expected]) => readFileSync(join(ROOT, path), 'utf8') !== expected)
  return stale.length > 0 ? `${stale.map(([path]) => path).join(', ')}: not what protocol/ says; run npm run protocol` : undefined
}

/** What went wrong with a step, or undefined. */
async function runStep(step: Step, env: Record<string, string>): Promise<string | undefined> {
  const problem = step.check?.()
  if (problem !== undefined) return problem
  for (const [program, ...args] of step.commands ?? []) {
    const { exitCode, stdout, stderr, failure } = await run(program, args, {
      env,
      cwd: join(ROOT, step.cwd ?? '.'),
      inherit: step.isLive ?? false,
    })
    if (exitCode !== 0)
      return [stdout, stderr, `${[program, ...args].join(' ')}: ${exitCode === null ? failure : `exit code ${exitCode}`}`]
        .filter(Boolean)
        .join('\n')
  }
  return undefined
}

async function main(filters: readonly string[]): Promise<void> {
  const { python } = await setUp(['test'])
  const steps = listSteps(python).filter(({ group }) => filters.length === 0 || filters.includes(group))
  if (steps.length === 0) throw new Error(`expected some of ts, py, lint, package, got ${filters.join(', ')}`)
  if (steps.some(({ group }) => group === 'ts')) await ensureBrowser((line) => process.stderr.write(`[immiscible] ${line}\n`))
  const bin = join(ROOT, 'node_modules', '.bin')
  const separator = process.platform === 'win32' ? ';' : ':'
  const env = { ...workerEnv(), IMMISCIBLE_PYTHON: python, PATH: [bin, process.env['PATH']].join(separator) }
  const results: { name: string; isPassed: boolean; seconds: number }[] = []
  for (const step of steps) {
    process.stdout.write(`\n== ${step.name}\n`)
    const started = performance.now()
    const problem = await runStep(step, env)
    const seconds = (performance.now() - started) / 1000
    results.push({ name: step.name, isPassed: problem === undefined, seconds })
    process.stdout.write(`${problem ?? 'passed'} (${seconds.toFixed(1)} s)\n`)
  }
  const rows = results.map(
    ({ name, isPassed, seconds }) => `${isPassed ? 'passed' : 'FAILED'}  ${seconds.toFixed(1).padStart(6)} s  ${name}`,
  )
  const numFailed = results.filter(({ isPassed }) => !isPassed).length
  process.stdout.write(`\n${rows.join('\n')}\n\n${results.length - numFailed} passed, ${numFailed} failed\n`)
  process.exitCode = numFailed > 0 ? 1 : 0
}

await main(process.argv.slice(2))
