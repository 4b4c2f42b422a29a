/** Who gets in: every way in which a stranger may knock, over ipc and over TCP with CURVE, while a good client is served. */
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pack } from 'msgpackr'
import { curveKeyPair, Router } from 'zeromq'
import { resolveConfig } from '../../protocol/index.ts'
import { makeKeys, serveBatches } from '../../ts/index.ts'
import type { Campaign, CampaignContext, Control, Scale } from './campaign.ts'
import { KNOCKS, rightCurve, type Curve, type Door, type Knock } from './knocks.ts'
import { isLetIn, readConnection, readKeys, startGoodClient, until, type Connection, type Peer } from './peer.ts'

/** Powers of two: the log says the count then. */
const TRIALS: Readonly<Record<Scale, number>> = { short: 4, quick: 16, long: 128 }
export const access: Campaign = {
  name: 'access',
  promise:
    'Whoever must not get in gets nothing, is refused for its reason, counted and named in the log; a good client is served during and after.',
  async run(scale, context) {
    const violations: string[] = []
    const faults: Record<string, number> = {}
    for (const name of ['tcp', 'ipc'] as const) violations.push(...(await tryDoor(name, TRIALS[scale], context, faults)))
    violations.push(...tryAddresses(resolveConfig, faults))
    return {
      trials: Object.values(faults).reduce((sum, count) => sum + count, 0),
      faults,
      violations,
      controls: await plantFaults(context),
    }
  },
}

async function tryDoor(
  name: Door['name'],
  trials: number,
  { folder, python, log }: CampaignContext,
  faults: Record<string, number>,
): Promise<string[]> {
  const keys = join(folder, `keys-${name}`)
  const [server, client, stranger] = ['server', 'client', 'stranger'].map((each) => makeKeys(keys, each))
  const output = join(folder, name)
  const lines: string[] = []
  const listen = { address: 'tcp://127.0.0.3:*', keyFile: server.secretFile, clientKeys: [client.publicFile] }
  const serving = serveBatches(
    {
      dataset: { kind: 'digits' },
      globalBatchSize: 8,
      maxTrainSteps: 1_000_000,
      pipeline: { threads: 1 },
      worker: { leaseSeconds: 60, ...(name === 'tcp' && { listen }) },
      outputDir: output,
    },
    { onLog: (line) => lines.push(line) },
  )
  const violations: string[] = []
  try {
    await serving.folder
    const connection = (): Connection | undefined => readConnection(join(output, 'serve.json'))
    const { serverKey } = await until('serve.json', connection)
    const door: Door = {
      name,
      connection,
      log: lines,
      ...(serverKey !== null && {
        curve: { ...readKeys(client.secretFile), serverKey },
        unknownCurve: { ...readKeys(stranger.secretFile), serverKey },
      }),
    }
    const mine = KNOCKS.filter(({ only }) => only === undefined || only === name)
    for (const isExpected of [false, true]) {
      const life = await until('serve.json', connection)
      const good = isExpected ? undefined : await startGoodClient(life, rightCurve(door))
      for (const knock of mine.filter((each) => (each.isExpected ?? false) === isExpected)) {
        violations.push(...(await tryKnock(knock, door, trials)).map((problem) => `${name}, ${knock.name}: ${problem}`))
        faults[knock.name] = (faults[knock.name] ?? 0) + trials
        await good?.served(3)
      }
      await good?.[Symbol.asyncDispose]()
      if (good) await until('the goodbye of the good client', () => (connection()?.generation ?? 0) > life.generation)
    }
    if (name === 'ipc') violations.push(...(await tryOtherUser(await until('serve.json', connection), faults, log)))
    // The real client, last.
    const answer = await runClient(python, output, client.secretFile)
    if (answer !== '0 1 2') violations.push(`${name}: expected the real client to get steps 0 1 2, got ${answer}`)
  } finally {
    serving.stop()
    await serving
  }
  return [...violations, ...checkTotals(name, trials, lines)]
}

/** What was said at the end has every refusal: no fewer than were made. */
function checkTotals(name: Door['name'], trials: number, log: readonly string[]): string[] {
  const made = new Map<string, number>()
  for (const { reasons } of KNOCKS.filter(({ only }) => only === undefined || only === name)) {
    made.set(reasons.join(), (made.get(reasons.join()) ?? 0) + trials)
  }
  return [...made].flatMap(([reasons, expected]) => {
    const got = countOf(log, reasons.split(','))
    return got >= expected ? [] : [`${name}: expected at least ${expected} of ${reasons} in the end, got ${got}`]
  })
}

/** Many at once where nobody waits for them; else one after the other, each as the peer that is expected. */
async function tryKnock(knock: Knock, door: Door, trials: number, seconds = 30): Promise<string[]> {
  const problems: string[] = []
  const before = countOf(door.log, knock.reasons)
  const goal = before + trials
  const named = knock.named(await until('serve.json', door.connection))
  const peers: Peer[] = []
  for (let at = 0; at < trials; at++) {
    const connection = await until('serve.json', door.connection)
    peers.push(await knock.knock(door, connection, at))
    if (knock.isExpected) {
      await until('the next life', () => (door.connection()?.generation ?? 0) > connection.generation)
    }
  }
  try {
    // The count is said when it has doubled, and what is said last names one of them.
    await until(
      `a count of ${trials} more`,
      () => countOf(door.log, knock.reasons) >= Math.min(goal, 2 ** Math.floor(Math.log2(goal))),
      seconds,
    )
    await sleep(50) // for an answer that must not come
    const got = peers.filter((peer) => (knock.wasIn ? peer.batches.length > 0 : isLetIn(peer))).length
    if (got > 0) problems.push(`${got} of ${trials} were let in`)
    const lines = door.log.filter((line) => knock.reasons.some((reason) => line.startsWith(`warning REFUSED_${reason}:`)))
    if (!lines.some((line) => line.includes(named))) problems.push(`expected ${named} in the log, got ${lines.at(-1) ?? 'nothing'}`)
  } catch (error) {
    problems.push((error as Error).message)
  } finally {
    for (const peer of peers) peer[Symbol.dispose]()
  }
  return problems
}

/** What the log says, over all reasons. */
function countOf(log: readonly string[], reasons: readonly string[]): number {
  return reasons.reduce((sum, reason) => {
    const counts = log.map((line) => Number(new RegExp(`^warning REFUSED_${reason}: refused (\\d+) so far`).exec(line)?.[1] ?? 0))
    return sum + Math.max(0, ...counts)
  }, 0)
}

/** As user 65534, which only root can become. */
async function tryOtherUser({ control }: Connection, faults: Record<string, number>, log: (line: string) => void): Promise<string[]> {
  const path = control.slice('ipc://'.length)
  const mode = statSync(dirname(path)).mode & 0o777
  const problems = mode === 0o700 ? [] : [`ipc: expected a folder of mode 700, got ${mode.toString(8)}`]
  if (process.getuid?.() !== 0) {
    log('another user: not tried, since only root can become one')
    return problems
  }
  const knock = `import socket, sys\ntry: socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print("connected")\nexcept OSError as error: print(type(error).__name__)`
  const child = spawn('python3', ['-c', knock, path], { uid: 65534, gid: 65534, cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  await new Promise((resolve) => child.once('close', resolve).once('error', resolve))
  faults['another user'] = 1
  return out.trim() === 'PermissionError'
    ? problems
    : [...problems, `ipc: expected a PermissionError for another user, got ${out.trim() || 'nothing'}`]
}

const CLIENT = `
import sys
from immiscible_worker import AssignedBatches
with AssignedBatches(sys.argv[1]) as batches:
    print(*(batch.step for batch, _ in zip(batches, range(3))))
`

async function runClient(python: string, folder: string, keyFile: string): Promise<string> {
  const env = { ...process.env, PYTHONPATH: fileURLToPath(new URL('../../py', import.meta.url)), IMMISCIBLE_KEY_FILE: keyFile }
  const { stdout } = await promisify(execFile)(python, ['-c', CLIENT, folder], { env }).catch((error: { stderr: string }) => ({
    stdout: error.stderr,
  }))
  return stdout.trim()
}

/** Addresses that others can reach: no config is made of them without keys and a list. */
function tryAddresses(resolve: typeof resolveConfig, faults: Record<string, number>): string[] {
  const hosts = [
    '0.0.0.0',
    '*',
    '10.0.0.1',
    '192.168.1.1',
    '169.254.1.1',
    '128.0.0.1',
    '126.255.255.255',
    '1.2.7.0',
    '[::]',
    '[fe80::1]',
    '[::2]',
    '[::ffff:127.0.0.1]',
  ]
  const keyings = [{}, { keyFile: 'a.key_secret' }, { clientKeys: ['a.key'] }, { keyFile: 'a.key_secret', clientKeys: [] }]
  const cases = hosts.flatMap((host) => keyings.map((keys) => ({ address: `tcp://${host}:5555`, ...keys })))
  faults['open address'] = cases.length
  return cases.flatMap((listen) => {
    const resolved = resolve({ dataset: { kind: 'digits' }, outputDir: 'unused', worker: { listen } })
    const isRefused = 'problems' in resolved && resolved.problems.every(({ path }) => path.startsWith('worker.listen.'))
    return isRefused ? [] : [`expected a config error naming worker.listen, got none: ${JSON.stringify(listen)}`]
  })
}

/** Each fault in the place of our own door, and the same check. */
async function plantFaults({ folder }: CampaignContext): Promise<Control[]> {
  const find = (name: string): Knock => KNOCKS.find((knock) => knock.name === name) as Knock
  const server = curveKeyPair()
  const curve = { ...curveKeyPair(), serverKey: server.publicKey }
  const encrypted = { curveServer: true, curveSecretKey: server.secretKey }
  mkdirSync(join(folder, 'planted'))
  const keyless = await withPlanted(encrypted, { curve, unknownCurve: curve }, find('a key that is not on the list'), 'UNKNOWN_KEY')
  const hijacked = await withPlanted({ handover: true }, {}, find('the identity of the client that is served'), 'SECOND_PEER')
  const silent = await withPlanted({ ...encrypted, zapDomain: 'nobody answers' }, { curve: undefined }, find('no encryption'), undefined)
  return [
    { name: 'CURVE without a list', isCaught: keyless.some((problem) => /were let in/.test(problem)) },
    { name: 'a router that hands identities over', isCaught: hijacked.some((problem) => /were let in/.test(problem)) },
    { name: 'refusals that nobody counts', isCaught: silent.some((problem) => /waited .* for a count/.test(problem)) },
    { name: 'open addresses without keys', isCaught: tryAddresses(() => ({ config: {} as never }), {}).length > 0 },
  ]
}

/** A door of one router which welcomes every hello; `reason`: what its log says of each. */
async function withPlanted(
  options: ConstructorParameters<typeof Router>[0] & { zapDomain?: string },
  curves: { curve?: Curve | undefined; unknownCurve?: Curve },
  knock: Knock,
  reason: string | undefined,
): Promise<string[]> {
  const router = new Router({ ...options, linger: 0 })
  const log: string[] = []
  try {
    await router.bind('tcp://127.0.0.3:*')
    const control = router.lastEndpoint as string
    const connection = { control, data: control, serverKey: null, token: '', runId: 'a'.repeat(32), generation: 0, configHash: '' }
    const answer = async (): Promise<void> => {
      for await (const [address] of router) await router.send([address, pack({ kind: 'welcome' })])
    }
    answer().catch(() => undefined)
    // What the check waits for beside the answers.
    if (reason)
      log.push(`warning REFUSED_${reason}: refused 1024 so far, the last: with the public key, its identity belongs to another connection`)
    return await tryKnock(knock, { name: 'tcp', connection: () => connection, log, ...curves } as Door, 1, 2)
  } finally {
    router.close()
  }
}
