/** Garbage against the bound sockets, and peers that were let in and misbehave, while a good client is served; the other direction is port.py. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { makeKeys } from '../../ts/index.ts'
import type { Campaign, CampaignContext, Control, Scale } from './campaign.ts'
import { openHalf, sendOversized, throwGarbage } from './garbage.ts'
import { MISDEEDS, misbehave } from './misdeeds.ts'
import { connect, readConnection, readKeys, startGoodClient, until, type Connection, type PeerOptions } from './peer.ts'
import { seeded } from './seeded.ts'

interface Size {
  readonly garbage: number
  readonly halfOpen: number
  readonly rounds: number
  readonly flood: number
  readonly frames: number
  readonly hostileOrchestrators: number
}
const SIZES: Readonly<Record<Scale, Size>> = {
  short: { garbage: 400, halfOpen: 100, rounds: 1, flood: 5_000, frames: 20_000, hostileOrchestrators: 34 },
  quick: { garbage: 4_000, halfOpen: 400, rounds: 2, flood: 20_000, frames: 200_001, hostileOrchestrators: 340 },
  long: { garbage: 50_000, halfOpen: 2_000, rounds: 6, flood: 100_000, frames: 200_001, hostileOrchestrators: 3_400 },
}
/** Above what the server had before: connections, queues of a thousand messages, and garbage of the collector. */
const MOST_GROWTH_MIB = 300
/** After so long a peer whose connection was cut off is gone. */
const LEASE_SECONDS = 3
/** For each frame of a message of many, which libzmq delivers whole: no bound, but a price. */
const FRAME_BYTES = 4096

/** A server in a process of its own. */
interface Server {
  readonly name: string
  readonly process: ChildProcess
  readonly connection: () => Connection | undefined
  readonly curve: PeerOptions
  /** What it said. */
  readonly lines: string[]
}

export const port: Campaign = {
  name: 'port',
  promise:
    'Garbage, floods and peers that misbehave neither crash, hang nor swell the orchestrator or the worker; a good client is served meanwhile.',
  async run(scale, context) {
    const size = SIZES[scale]
    const faults: Record<string, number> = {}
    const violations: string[] = []
    for (const name of ['tcp', 'ipc'] as const) violations.push(...(await tryServer(name, size, context, faults)))
    context.log('an orchestrator that sends garbage')
    violations.push(...(await tryWorkers(context, size.hostileOrchestrators, 'none', faults)))
    return {
      trials: Object.values(faults).reduce((sum, count) => sum + count, 0),
      faults,
      violations,
      controls: await plantFaults(context),
    }
  },
}

async function tryServer(name: 'tcp' | 'ipc', size: Size, context: CampaignContext, faults: Record<string, number>): Promise<string[]> {
  const random = seeded(context.seed)
  const server = await startServer(name, context.folder)
  const count = (what: string, by: number): void => void (faults[what] = (faults[what] ?? 0) + by)
  const problems: string[] = []
  try {
    const life = await until('serve.json', server.connection)
    {
      await using good = await startGoodClient(life, server.curve)
      await good.served(3)
      const before = measure(server.process)
      for (const endpoint of [life.control, life.data]) {
        count('garbage connections', await throwGarbage(endpoint, size.garbage / 2, random))
        await good.served(3)
        const unfinished = await openHalf(endpoint, size.halfOpen / 2, random)
        count('half-open connections', unfinished.length)
        await good.served(3)
        for (const socket of unfinished) socket.destroy()
        count('oversized frames', await sendOversized(endpoint, name, random))
      }
      await good.served(3)
      problems.push(...(await checkGrowth(server, before, MOST_GROWTH_MIB)))
      // Let in by its key, and nobody that is expected: it talks all the same.
      using stranger = connect(life, { ...server.curve, identity: 'stranger' })
      for (let at = 0; at < size.flood; at++) {
        void stranger.send('control', { kind: 'heartbeat', phase: 'training', step: at, ageMs: 0 })
        if (at % 1000 === 0) await sleep(1)
      }
      count("a stranger's heartbeats", size.flood)
      await good.served(3)
      problems.push(...(await checkGrowth(server, before, MOST_GROWTH_MIB)))
      const heard = (goal: number): Promise<unknown> => until(`the log to count ${goal}`, () => countStrangers(server.lines) >= goal)
      const power = 2 ** Math.floor(Math.log2(size.flood))
      await heard(power)
      const beforeFrames = measure(server.process).rssMiB
      using talker = connect(life, { ...server.curve, identity: 'talker' })
      await talker.sendFrames(
        'control',
        Array.from({ length: size.frames }, () => Uint8Array.of(0x80)),
      )
      // What it says next is heard after it: the count doubles then.
      for (let at = 0; at < size.flood; at++) void talker.send('control', { kind: 'heartbeat', phase: 'training', step: at, ageMs: 0 })
      await heard(2 * power)
      count("a stranger's heartbeats", size.flood)
      count('messages of many frames', 1)
      await good.served(3)
      context.log(
        `${name}: a message of ${size.frames} frames took the peak ${Math.round(measure(server.process).rssMiB - beforeFrames)} MiB up`,
      )
      problems.push(...(await checkGrowth(server, before, MOST_GROWTH_MIB + (size.frames * FRAME_BYTES) / 2 ** 20)))
    }
    await until('the next life', () => (server.connection()?.generation ?? 0) > life.generation)
    const before = measure(server.process)
    for (let round = 0; round < size.rounds; round++) {
      // In the short form each over one of the two.
      for (const misdeed of MISDEEDS.filter((_, at) => size.rounds > 1 || (at % 2 === 0) === (name === 'tcp'))) {
        problems.push(...(await misbehave(misdeed, server, random)).map((problem) => `${name}, ${misdeed.name}: ${problem}`))
        count('peers that misbehave', 1)
      }
    }
    problems.push(...(await checkGrowth(server, before, MOST_GROWTH_MIB)))
    await using good = await startGoodClient(await until('serve.json', server.connection), server.curve)
    await good.served(3)
  } catch (error) {
    problems.push(`${name}: ${(error as Error).message}; the server said last: ${server.lines.slice(-3).join(' | ')}`)
  }
  return [...problems, ...(await stopServer(server))].map((problem) => `seed ${context.seed}, ${problem}`)
}

async function startServer(name: 'tcp' | 'ipc', folder: string): Promise<Server> {
  const keys = join(folder, `keys-${name}`)
  const [own, client] = ['server', 'client'].map((each) => makeKeys(keys, each))
  const output = join(folder, name)
  const cli = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
  const config = join(folder, `${name}.json`)
  writeFileSync(
    config,
    JSON.stringify({ dataset: { kind: 'digits' }, globalBatchSize: 8, maxTrainSteps: 1_000_000, worker: { leaseSeconds: LEASE_SECONDS } }),
  )
  const flags = ['--config', config, '--output-dir', output]
  const listen = ['--listen', 'tcp://127.0.0.5:*', '--key-file', own.secretFile, '--client-key', client.publicFile]
  // The heap of a machine that has little.
  const node = ['--max-old-space-size=256', cli, 'serve', ...flags, ...(name === 'tcp' ? listen : [])]
  const child = spawn(process.execPath, node, { stdio: ['ignore', 'ignore', 'pipe'] })
  const lines: string[] = []
  let rest = ''
  child.stderr.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
  })
  const connection = (): Connection | undefined => readConnection(join(output, 'serve.json'))
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  await until('serve.json', () => connection() ?? hasEnded()).catch(() => child.kill('SIGKILL'))
  const serverKey = connection()?.serverKey
  if (serverKey === undefined) throw new Error(`expected the server to start, got ${lines.join(' | ')}`)
  return {
    name,
    process: child,
    connection,
    lines,
    curve: serverKey === null ? {} : { curve: { ...readKeys(client.secretFile), serverKey } },
  }
}

async function stopServer({ name, process: child, lines }: Server): Promise<string[]> {
  const isAlive = child.exitCode === null && child.signalCode === null
  const ended = new Promise((resolve) => child.once('exit', resolve))
  if (isAlive) child.kill('SIGINT')
  const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
  if (isAlive) await ended
  clearTimeout(late)
  const unexpected = lines.find((line) => /^\s+at |Error:|Assertion|Unhandled|FATAL/.test(line))
  return [
    ...(isAlive ? [] : [`${name}: the server died: ${child.signalCode ?? child.exitCode}`]),
    ...(isAlive && child.exitCode !== 0 ? [`${name}: expected it to end by SIGINT, got ${child.signalCode ?? child.exitCode}`] : []),
    ...(unexpected === undefined ? [] : [`${name}: it said ${unexpected.slice(0, 200)}`]),
  ]
}

interface Measure {
  readonly rssMiB: number
  readonly numFiles: number
}

/** By /proc; nothing where there is none. */
function measure({ pid }: ChildProcess): Measure {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return { rssMiB: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024, numFiles: readdirSync(`/proc/${pid}/fd`).length }
  } catch {
    return { rssMiB: 0, numFiles: 0 }
  }
}

/** The most memory that it ever had, and what is open now. */
async function checkGrowth(server: Pick<Server, 'name' | 'process'>, before: Measure, mostMiB: number): Promise<string[]> {
  const spare = 16
  try {
    await until('its connections to be closed', () => measure(server.process).numFiles <= before.numFiles + spare, 30)
  } catch (error) {
    return [`${server.name}: ${(error as Error).message}: ${measure(server.process).numFiles} open, ${before.numFiles} before`]
  }
  const grown = measure(server.process).rssMiB - before.rssMiB
  return grown <= mostMiB ? [] : [`${server.name}: expected at most ${Math.round(mostMiB)} MiB more, got ${Math.round(grown)}`]
}

/** By the log, which says the powers of two. */
function countStrangers(lines: readonly string[]): number {
  return Math.max(0, ...lines.map((line) => Number(/REFUSED_UNKNOWN_IDENTITY: refused (\d+)/.exec(line)?.[1] ?? 0)))
}

/** Garbage from an orchestrator: port.py, in one process. */
async function tryWorkers(
  { python, seed }: CampaignContext,
  trials: number,
  fault: string,
  faults: Record<string, number>,
): Promise<string[]> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const job = JSON.stringify({ seed, trials, fault })
  const env = { ...process.env, PYTHONPATH: join(root, 'py') }
  try {
    const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'port.py'), job], { env, timeout: 600_000 })
    const { violations, rssMiB } = JSON.parse(stdout) as { violations: string[]; rssMiB: number }
    faults['hostile orchestrators'] = trials
    if (rssMiB > MOST_GROWTH_MIB) violations.push(`expected at most ${MOST_GROWTH_MIB} MiB more, got ${rssMiB}`)
    return violations.map((violation) => `worker, seed ${seed}: ${violation}`)
  } catch (error) {
    return [`worker: port.py failed: ${(error as { stderr?: string }).stderr ?? String(error)}`]
  }
}

/** Servers with a fault, and the same checks. */
async function plantFaults(context: CampaignContext): Promise<Control[]> {
  const random = seeded(context.seed)
  mkdirSync(join(context.folder, 'planted'))
  const tryPlanted = async (code: string): Promise<string[]> => {
    const path = join(context.folder, 'planted', `socket-${random.int(2 ** 30)}`)
    const program = `require('node:net').createServer((socket) => { ${code} }).listen(process.argv[1], () => process.stderr.write('ready\\n')); process.once('SIGINT', () => process.exit())`
    const child = spawn(process.execPath, ['-e', program, path], { stdio: ['ignore', 'ignore', 'pipe'] })
    const lines: string[] = []
    child.stderr.on('data', (chunk: Buffer) => lines.push(...chunk.toString().split('\n')))
    await until('the planted server', () => lines.includes('ready'))
    const before = measure(child)
    const problems: string[] = []
    try {
      await throwGarbage(`ipc://${path}`, 40, random)
      await sleep(500) // it takes them when it can
      problems.push(...(await checkGrowth({ name: 'planted', process: child }, before, 50)))
    } catch (error) {
      problems.push((error as Error).message)
    }
    return [...problems, ...(await stopServer({ name: 'planted', process: child, lines, connection: () => undefined, curve: {} }))]
  }
  const crash = await tryPlanted(`socket.on('data', () => { throw new Error('what is this?') })`)
  const leak = await tryPlanted(
    `socket.on('error', () => {}); socket.once('data', () => { (globalThis.kept ??= []).push(Buffer.alloc(4e6, 1)) })`,
  )
  const hasProc = process.platform === 'linux'
  const untyped = await tryWorkers(context, 9, 'untyped', {})
  const deaf = await tryWorkers(context, 9, 'deaf', {})
  return [
    { name: 'a server that dies of garbage', isCaught: crash.some((problem) => problem.includes('what is this?')) },
    ...(hasProc ? [{ name: 'a server that keeps what comes', isCaught: leak.some((problem) => /MiB more/.test(problem)) }] : []),
    { name: 'a worker with an untyped error', isCaught: untyped.some((problem) => problem.includes('got KeyError')) },
    { name: 'a worker that goes on after garbage', isCaught: deaf.some((problem) => problem.includes('got Reject')) },
    { name: 'a session that keeps a peer which misbehaves', isCaught: await isKeepingNoticed() },
  ]
}

/** A door that answers everything and drops nobody. */
async function isKeepingNoticed(): Promise<boolean> {
  const { Router } = await import('zeromq')
  const { pack } = await import('msgpackr')
  const router = new Router({ linger: 0 })
  await router.bind('tcp://127.0.0.5:*')
  const control = router.lastEndpoint as string
  const answer = async (): Promise<void> => {
    for await (const [address] of router) await router.send([address, pack({ kind: 'welcome' })])
  }
  answer().catch(() => undefined)
  const life = { control, data: control, serverKey: null, token: '', runId: 'a'.repeat(32), generation: 0, configHash: '' }
  try {
    const early = MISDEEDS.find(({ name }) => name === 'a credit before any batch')
    const problems = await misbehave(early ?? MISDEEDS[0], { connection: () => life, curve: {} }, seeded(1), 2)
    return problems.some((problem) => problem.includes('to be dropped'))
  } finally {
    router.close()
  }
}
