/** One scripted conversation, held with the real worker over real sockets or with the model in virtual time: what each of them says, line by line. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import type { BatchHeader, Command, TensorSpec, TrainConfig, WorkerEvent } from '../../../protocol/index.ts'
import { launch, type Launched } from '../../../ts/process.ts'
import { openChannel, type Channel } from '../../../ts/worker/channel.ts'
import { decodeEvent, encodeBatch, encodeCommand, type WireTensor } from '../../../ts/worker/codec.ts'
import { systemTime, type Time } from '../../../ts/worker/time.ts'
import { createDisk } from './disk.ts'
import { createNetwork } from './network.ts'
import { startWorkerModel, type WorkerPlants } from './worker-model.ts'
import { createWorld } from './world.ts'

export interface Life {
  readonly generation: number
  readonly leaseSeconds?: number
  /** Before the worker starts. */
  readonly prepare?: (disk: DiskTool) => void
  readonly react: (event: WorkerEvent, orchestrator: Orchestrator) => unknown
}

export interface Orchestrator {
  readonly disk: DiskTool
  welcome(configHash?: string): void
  say(command: Command): void
  sayBytes(bytes: Uint8Array): void
  send(step: number, options?: { split?: BatchHeader['split']; numImages?: number; generation?: number; isDamaged?: boolean }): void
  kill(): void
  /** No more pings. */
  fallSilent(): void
}

/** What somebody else does to the run folder. */
export interface DiskTool {
  /** As if the orchestrator had given out a generation. */
  giveOut(generation: number): void
  damageNewest(): void
  /** No checkpoint can be written. */
  block(): void
}

interface World {
  readonly channel: Channel
  readonly time: Time
  readonly disk: DiskTool
  launch(life: Life): Promise<Launched>
  checkpoints(): string[]
}

const RUN_ID = '12'.repeat(16)
const TOKEN = '34'.repeat(32)
const HASH = 'c'.repeat(64)
const PYTHON_FOLDER = fileURLToPath(new URL('../../../py', import.meta.url))

async function converse(world: World, config: TrainConfig, runFolder: string, lives: readonly Life[]): Promise<string[]> {
  const lines: string[] = []
  for (const life of lives) lines.push(...(await converseOnce(world, config, runFolder, life)))
  return [...lines, `left: ${world.checkpoints().join(' ')}`]
}

async function converseOnce(world: World, config: TrainConfig, runFolder: string, life: Life): Promise<string[]> {
  const { channel, time, disk } = world
  const address = `${RUN_ID}.${life.generation}.0`
  // The two sockets are not ordered among themselves.
  const lines = { control: [] as string[], data: [] as string[] }
  let isSilent = false
  life.prepare?.(disk)
  const child = await world.launch(life)
  const sayBytes = (bytes: Uint8Array): void => void channel.send('control', address, [bytes]).catch(() => undefined)
  const say = (command: Command): void => sayBytes(encodeCommand(command))
  const dataset = {
    name: 'digits',
    sha256: 'd'.repeat(64),
    numImages: 1797,
    imageShape: [1, 8, 8],
    numClasses: 10,
    dtype: 'uint8' as const,
    scalingFactor: null,
  }
  const orchestrator: Orchestrator = {
    disk,
    say,
    sayBytes,
    welcome: (configHash = HASH) => say({ kind: 'welcome', runFolder, configHash, config, dataset, realImages: null }),
    send(step, { split = 'train', numImages = config.globalBatchSize, generation = life.generation, isDamaged = false } = {}) {
      const tensors = makeTensors(step, numImages)
      const described = { kind: 'batch' as const, split, step: split === 'train' ? step : 0, epoch: 0, numImages, telemetry: [] }
      const header = { ...described, tensors: tensors.map(({ spec }) => spec) }
      const frames = encodeBatch(RUN_ID, generation, header, tensors).map((frame) => frame.slice())
      if (isDamaged) frames[2][0] ^= 1
      void channel.send('data', address, frames).catch(() => undefined)
    },
    kill: () => child.kill('SIGKILL'),
    fallSilent() {
      isSilent = true
    },
  }
  channel.onMessage((from, frames) => {
    if (from.address !== address) return
    const event = decodeEvent(frames[0])
    if (event.kind === 'heartbeat') return
    lines[from.socket].push(describe(event))
    life.react(event, orchestrator)
  })
  const endPings = time.every(300, () => {
    if (!isSilent && lines.control.length > 0) say({ kind: 'ping' })
  })
  const { exitCode, signal } = await child.exited
  // What it said last may arrive after its exit.
  await time.sleep(300)
  endPings()
  return [`life ${life.generation}`, ...lines.data, ...lines.control, `exit ${signal ?? exitCode}`]
}

/** Of the shapes that the worker asks for. */
function makeTensors(step: number, numImages: number): WireTensor[] {
  const tensor = (name: string, dtype: TensorSpec['dtype'], data: Uint8Array | Float32Array, ...dims: number[]): WireTensor => {
    const shape = [numImages, ...dims]
    return { spec: { name, dtype, shape, byteLength: data.byteLength, crc32: crc32(new Uint8Array(data.buffer)) }, data }
  }
  const numPixels = numImages * 64
  return [
    tensor(
      'images',
      'uint8',
      Uint8Array.from({ length: numPixels }, (_, at) => (at * 37 + step) % 256),
      1,
      8,
      8,
    ),
    tensor(
      'noise',
      'float32',
      Float32Array.from({ length: numPixels }, (_, at) => (((at + step) * 29) % 41) / 20 - 1),
      1,
      8,
      8,
    ),
    tensor(
      'uniforms',
      'float32',
      Float32Array.from({ length: numImages * 3 }, (_, at) => ((at + step) % 10) / 10),
      3,
    ),
  ]
}

/** What must be the same: not figures, and no text that only a human reads. */
function describe(event: WorkerEvent): string {
  const name = (path: string | null): string => path?.split('/').at(-1) ?? 'none'
  switch (event.kind) {
    case 'hello':
      return `hello ${event.protocolVersion} ${event.runId} ${event.generation} ${event.rank} ${event.token} ${event.configHash}`
    case 'attach':
      return `attach ${event.token}`
    case 'ready':
      return `ready ${event.step} from ${name(event.resumedFrom)}`
    case 'stepDone':
      return `stepDone ${event.step} ${event.batchSha256}`
    case 'saved':
    case 'sampled':
      return `${event.kind} ${event.step} ${name(event.path)}`
    case 'validated':
      return `validated ${event.step} on ${event.numImages}`
    case 'warning':
      return `warning ${event.code}`
    case 'stopped':
      return `stopped ${event.step} ${name(event.checkpoint)} ${name(event.pipeline)}`
    case 'failed':
      return `failed ${event.code} at ${event.step}, ${event.isRetryable ? 'to be tried again' : 'for good'}`
    case 'credit':
      return `credit ${event.step}`
    default:
      return event.kind
  }
}

/** With a real process of `python`, over real sockets, in an empty folder. */
export async function converseWithWorker(python: string, folder: string, config: TrainConfig, lives: readonly Life[]): Promise<string[]> {
  await using channel = await openChannel(8)
  const checkpoints = join(folder, 'checkpoints')
  const world: World = {
    channel,
    time: systemTime,
    disk: {
      giveOut: (generation) => writeFileSync(join(folder, 'generation.json'), JSON.stringify({ next: generation + 1 })),
      damageNewest() {
        const newest = join(checkpoints, readdirSync(checkpoints).toSorted().at(-1) ?? '', 'network.safetensors')
        const bytes = readFileSync(newest)
        bytes[bytes.length - 1] ^= 1
        writeFileSync(newest, bytes)
      },
      block: () => writeFileSync(checkpoints, 'a file where the folder should be'),
    },
    launch({ generation, leaseSeconds = 60 }) {
      return launch(python, ['-m', 'immiscible_worker'], {
        env: {
          PYTHONPATH: PYTHON_FOLDER,
          IMMISCIBLE_CONTROL: channel.controlEndpoint,
          IMMISCIBLE_DATA: channel.dataEndpoint,
          IMMISCIBLE_TOKEN: TOKEN,
          IMMISCIBLE_RUN_ID: RUN_ID,
          IMMISCIBLE_GENERATION: String(generation),
          IMMISCIBLE_CONFIG_HASH: HASH,
          IMMISCIBLE_LEASE_SECONDS: String(leaseSeconds),
        },
        logFile: join(folder, 'worker.log'),
      })
    },
    checkpoints: () => (statSync(checkpoints, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(checkpoints).toSorted() : []),
  }
  mkdirSync(folder, { recursive: true })
  // Awaited here, since the channel closes when this returns.
  return await converse(world, config, folder, lives)
}

export async function converseWithModel(
  seed: number,
  config: TrainConfig,
  lives: readonly Life[],
  plants: WorkerPlants = {},
): Promise<string[]> {
  const world = createWorld(seed)
  const disk = createDisk(world.random)
  const network = createNetwork(world, { interfere: () => undefined, onSent: () => undefined, onArrived: () => undefined })
  const owner = world.spawn('orchestrator', 0)
  const host: World = {
    channel: network.open('endpoint', owner),
    time: owner.time,
    disk: {
      giveOut(generation) {
        disk.nextGeneration = generation + 1
      },
      damageNewest: () => disk.damage(disk.names().toSorted().at(-1) ?? '', 'network'),
      block() {
        disk.isFull = true
      },
    },
    async launch({ generation, leaseSeconds = 60 }) {
      const process = world.spawn(`worker ${generation}`, 0)
      const exited = Promise.withResolvers<{ exitCode: number | null; signal: string | null; failure: null; errorCode: null }>()
      const exit = (exitCode: number | null, signal: string | null): void => {
        if (!process.isAlive) return
        process.kill()
        owner.receive(1, () => exited.resolve({ exitCode, signal, failure: null, errorCode: null }))
      }
      startWorkerModel(
        { endpoint: 'endpoint', token: TOKEN, runId: RUN_ID, generation, configHash: HASH, leaseSeconds },
        {
          process,
          network,
          disk,
          note: () => undefined,
          plants,
          point: (_name, ms) => process.sleep(ms),
          exit: (code) => exit(code, null),
        },
      )
      return { pid: 1, exited: exited.promise, kill: () => exit(null, 'SIGKILL') }
    },
    checkpoints: () => disk.names().toSorted(),
  }
  let lines: string[] | undefined
  void converse(host, config, '/run', lives).then((said) => (lines = said))
  await world.run(() => lines !== undefined, 3_600_000)
  return lines ?? ['the conversation did not end']
}
