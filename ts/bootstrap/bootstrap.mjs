/** From a bare clone to a command that runs: plain JavaScript for Node 20, installs the npm packages, hands over to their Node 24. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const MODULES = join(ROOT, 'node_modules')
/** Written after a complete install: the hash of the lock file that it was made from. */
const STAMP = join(MODULES, '.immiscible-lock')

/** What Node 24 runs, in order, until one fails. */
const COMMANDS = {
  setup: () => [['ts/bootstrap/setup.ts']],
  demo: (args) => [['ts/bootstrap/setup.ts'], ['ts/cli/main.ts', 'demo', ...args]],
  objectives: (args) => [['ts/bootstrap/setup.ts'], ['ts/recipe/objectives.ts', ...args]],
  study: (args) => [['ts/bootstrap/setup.ts'], ['ts/recipe/run-study.ts', ...args]],
  bench: (args) => [['ts/bootstrap/setup.ts'], ['test/bench/run.ts', ...args]],
  'bench:decode': (args) => [['ts/bootstrap/setup.ts'], ['test/bench/decode.ts', ...args], ['test/bench/second-start.ts']],
  'bench:pipeline': (args) => [['ts/bootstrap/setup.ts'], ['test/bench/pipeline.ts', ...args]],
  'bench:dashboard': (args) => [['ts/bootstrap/setup.ts'], ['test/bench/dashboard.ts', ...args]],
  reliability: (args) => [['test/reliability/run.ts', ...args]],
  test: (args) => [['ts/bootstrap/test.ts', ...args]],
}

/** Problem in npm's output -> what to do. The first that fits is told. */
const ADVICE = [
  [/ENOSPC|no space left/i, `The disk is full: node_modules takes about 450 MB in ${ROOT}. Make room and start again.`],
  [/EACCES|EPERM|EROFS/, `No permission to write in ${ROOT}. Clone the project into a folder that you own.`],
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|network|CERT_|SELF_SIGNED/i,
    'The npm registry cannot be reached. Check the connection, or name a proxy or mirror that can be reached ' +
      '(HTTPS_PROXY, npm_config_registry), and start again.',
  ],
]

async function main([command, ...args]) {
  const steps = COMMANDS[command]
  if (!steps) return fail(`expected one of ${Object.keys(COMMANDS).join(', ')}, got ${command ?? 'nothing'}`, 2)
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20) return fail(`expected Node 20 or newer, got ${process.versions.node}. Install a current one: https://nodejs.org`, 3)
  const installed = await installNpmPackages()
  if (installed !== 0) return installed
  linkCommand()
  const node = join(MODULES, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
  for (const step of steps(args)) {
    const code = await runInherited(existsSync(node) ? node : process.execPath, step)
    if (code !== 0) return code
  }
  return 0
}

/** Makes `npx immiscible` this tree's own command. */
function linkCommand() {
  if (process.platform === 'win32') return // npm run immiscible -- is the same
  const link = join(MODULES, '.bin', 'immiscible')
  const command = join(ROOT, 'ts', 'cli', 'main.ts')
  rmSync(link, { force: true })
  symlinkSync(command, link)
  chmodSync(command, 0o755)
}

async function installNpmPackages() {
  const hash = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hash) return 0
  const started = Date.now()
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`
  say('installing the npm packages (450 MB on disk)')
  const ticker = setInterval(() => say(`still installing the npm packages (${seconds()})`), 10_000)
  // One small question first: without a network, npm asks in vain for each optional package, one after the other, for many minutes.
  const question = ['view', 'node', 'version', '--fetch-retries=1', '--fetch-retry-mintimeout=2000']
  // Not npm ci: that refuses a lock file without the other platforms' optional packages, and npm writes such a one where they are not to be had.
  const install = ['install', '--no-save', '--no-audit', '--no-fund']
  const asked = await runNpm(question, { isQuiet: true })
  const { code, output } = asked.code === 0 ? await runNpm(install) : asked
  clearInterval(ticker)
  if (code !== 0) {
    const advice =
      ADVICE.find(([pattern]) => pattern.test(output))?.[1] ?? `npm said last:\n${output.trim().split('\n').slice(-5).join('\n')}`
    return fail(`the npm packages could not be installed (npm's exit code: ${code}). ${advice}`, 3)
  }
  writeFileSync(STAMP, hash)
  say(`the npm packages are ready (${seconds()})`)
  return 0
}

/** npm as it was started with, else the one on PATH. Its output is kept, and shown unless `isQuiet`. */
function runNpm(args, { isQuiet = false } = {}) {
  const npm = process.env.npm_execpath
  const [command, ...first] = npm && /\.c?js$/.test(npm) ? [process.execPath, npm] : ['npm']
  return new Promise((resolve) => {
    const child = spawn(command, [...first, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
        if (!isQuiet) process.stderr.write(text)
      })
    }
    child.on('error', (error) => resolve({ code: 1, output: `${output}\n${error.message}` }))
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

/** Ctrl-C reaches the child by itself, which then decides how to end; this process only waits for it. */
function runInherited(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' })
    const ignore = () => undefined
    const forward = () => child.kill('SIGTERM')
    process.on('SIGINT', ignore)
    process.on('SIGTERM', forward)
    child.on('error', (error) => resolve(fail(`${command} could not be started: ${error.message}`, 3)))
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore)
      process.off('SIGTERM', forward)
      resolve(code ?? (signal === 'SIGINT' ? 130 : 1))
    })
  })
}

function say(line) {
  process.stderr.write(`[immiscible] ${line}\n`)
}

function fail(line, code) {
  say(line)
  return code
}

process.exitCode = await main(process.argv.slice(2))
