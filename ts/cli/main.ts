#!/usr/bin/env node
/** immiscible train | serve | keys | demo | resume | sample | evaluate | strategies | analyze. Parses, calls, prints. */
import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import {
  ConfigError,
  evaluateRun,
  ImmiscibleError,
  makeKeys,
  resumeImmiscible,
  sampleRun,
  trainImmiscible,
  type SampleOptions,
  type TrainInput,
} from '../index.ts'
import { addAnalyze } from './analyze.ts'
import { addDoctor } from './doctor.ts'
import { demo } from './demo.ts'
import { follow } from './follow.ts'
import { serve } from './serve.ts'
import { listStrategies } from './strategies.ts'

const EXIT = { failed: 1, usage: 2, environment: 3 } as const

const program = new Command('immiscible')
  .description('Train diffusion models on assigned noise (Immiscible Diffusion, arXiv 2406.12303).')
  .version(readVersion())
  .configureOutput({ writeErr: (text) => process.stderr.write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.usage))

program
  .command('serve')
  .description('give assigned batches to a training loop of your own (Python: immiscible_worker.AssignedBatches)')
  .option('--config <file>', 'config as JSON; flags below win over it')
  .option('--dataset <kind>', 'data set')
  .option('--assignment <kind>', 'strategy, see `immiscible strategies`')
  .option('--pool-size <images>', 'images over which an assignment is solved', integer)
  .option('--global-batch-size <images>', 'images per optimiser step, over all devices', integer)
  .option('--max-train-steps <steps>', 'steps in all', integer)
  .option('--seed <seed>', 'seed of everything', integer)
  .option('--output-dir <folder>', 'where serve.json tells the client how to connect')
  .option('--listen <address>', 'tcp://HOST:PORT, for a client on another host; PORT + 1 as well')
  .option('--key-file <file>', "the server's NAME.key_secret, from `immiscible keys`")
  .option('--client-key <file...>', 'NAME.key of each client that may connect')
  .action(async (flags: TrainFlags) => {
    await serve(toInput(flags), log)
  })

program
  .command('keys')
  .description('make a key pair for --listen: NAME.key for the other side, NAME.key_secret to keep, both readable by you alone')
  .argument('<folder>', 'where to put them')
  .option('--name <name>', 'of the files, and of the client in the log', 'immiscible')
  .action((folder: string, { name }: { name: string }) => {
    const { publicFile, secretFile } = makeKeys(folder, name)
    print(`${publicFile}\n${secretFile}`)
  })

program
  .command('train')
  .description('train a model into a new run folder')
  .option('--config <file>', 'config as JSON; flags below win over it')
  .option('--dataset <kind>', 'data set')
  .option('--image-scale <factor>', 'multiplies the images, not the noise', number)
  .option('--objective <kind>', 'ddim, consistency or flow')
  .option('--network <preset>', 'network preset, such as tiny or ddpm-cifar10')
  .option('--assignment <name>', 'strategy or preset, see `immiscible strategies`, or the path of a module')
  .option('--pool-size <images>', 'images over which an assignment is solved', integer)
  .option('--global-batch-size <images>', 'images per optimiser step, over all devices', integer)
  .option('--max-train-steps <steps>', 'optimiser steps', integer)
  .option('--learning-rate <rate>', 'peak learning rate', number)
  .option('--seed <seed>', 'seed of everything', integer)
  .option('--device <device>', 'auto, cuda, mps or cpu')
  .option('--output-dir <folder>', 'the run folder')
  .action(async (flags: TrainFlags) => {
    await follow(trainImmiscible(toInput(flags), { onSetup: log }))
  })

program
  .command('demo')
  .description('train on the embedded digits for a few minutes and show what came of it')
  .action(async () => {
    print(await demo(log))
  })

program
  .command('resume')
  .description('go on with a run from its last checkpoint')
  .argument('<run>', 'run folder')
  .option('--max-train-steps <steps>', 'go further than planned', integer)
  .action(async (runFolder: string, flags: { maxTrainSteps?: number }) => {
    await follow(resumeImmiscible(runFolder, { ...flags, onSetup: log }))
  })

withSampler(program.command('sample'))
  .description('draw a grid of images from a finished run')
  .argument('<run>', 'run folder, or a pipeline folder')
  .option('--seed <seed>', 'seed of the noise', integer, 0)
  .option('--labels <classes>', 'of a class-conditional model: 0,1,2, cycled over the images; else every class in turn', integers)
  .option('--output <file>', 'PNG to write', 'samples.png')
  .action(async (runFolder: string, { output, labels, ...flags }: { output: string; labels?: number[] } & SamplerFlags) => {
    const onWarning = (message: string, code: string): void => log(`warning ${code}: ${message}`)
    print(await sampleRun(runFolder, output, { ...flags, ...(labels && { classLabels: labels }), onWarning, onSetup: log }))
  })

withSampler(program.command('evaluate'))
  .description('judge the samples of a finished run by a small classifier trained on its data set')
  .argument('<run>', 'run folder')
  .option('--seed <seed>', 'seed of the starting noise', integer, 0)
  .action(async (runFolder: string, flags: SamplerFlags) => {
    print(JSON.stringify(await evaluateRun(runFolder, { ...flags, onSetup: log }), null, 2))
  })

program
  .command('strategies')
  .description('list the assignment strategies and presets')
  .option('--json', 'as JSON')
  .action(({ json = false }: { json?: boolean }) => {
    print(listStrategies(json))
  })

addAnalyze(program, print, log)
addDoctor(program, print)

try {
  await program.parseAsync()
} catch (error) {
  log(`immiscible: ${(error as Error).message}`)
  process.exitCode = exitCode(error)
}

type SamplerFlags = Omit<SampleOptions, 'classLabels' | 'onWarning' | 'onSetup'>

/** How to sample; what is not given is as the run sampled. */
function withSampler(command: Command): Command {
  return command
    .option('--num-images <images>', 'how many', integer)
    .option('--num-inference-steps <steps>', 'calls of the network for each image', integer)
    .option('--eta <eta>', 'of ddim: fresh noise at each step, 0 is DDIM, 1 is DDPM', number)
    .option('--timestep-spacing <name>', 'of ddim: leading, linspace, trailing or quadratic')
    .option('--use-clipped-model-output', 'of ddim: derive the noise again from the clipped image')
    .option('--solver <name>', 'of flow: euler or dopri5')
    .option('--trust-remote-code', "run the code of the user's own network that lies in a pipeline folder")
    .option('--guidance-scale <scale>', 'of a class-conditional model: 1 is none, 0 the unconditional model', number)
}

interface TrainFlags {
  config?: string
  dataset?: string
  imageScale?: number
  objective?: string
  network?: string
  assignment?: string
  poolSize?: number
  globalBatchSize?: number
  maxTrainSteps?: number
  learningRate?: number
  seed?: number
  device?: string
  outputDir?: string
  listen?: string
  keyFile?: string
  clientKey?: string[]
}

/** Flags over file. Names stay unchecked here: the schema knows them, and says what it expected. */
function toInput(flags: TrainFlags): TrainInput {
  const {
    config: file,
    dataset,
    imageScale,
    objective,
    assignment,
    poolSize,
    learningRate,
    device,
    listen,
    keyFile,
    clientKey,
    ...top
  } = flags
  const config = file === undefined ? {} : readConfig(file)
  const section = (name: string, values: Record<string, unknown>): Record<string, unknown> => {
    const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
    // A name alone is the short form of a section.
    const below = typeof config[name] === 'string' ? { kind: config[name] } : config[name]
    // Another kind brings its own fields: those of the file's kind do not apply to it.
    const base =
      typeof below === 'object' &&
      below !== null &&
      (given['kind'] ?? (below as { kind?: unknown }).kind) === (below as { kind?: unknown }).kind
        ? below
        : {}
    return Object.keys(given).length > 0 ? { [name]: { ...base, ...given } } : {}
  }
  return {
    ...config,
    ...section('dataset', { kind: dataset, imageScale }),
    ...section('objective', { kind: objective }),
    ...section('assignment', {
      kind: assignment ?? (poolSize === undefined || config['assignment'] !== undefined ? undefined : 'quantized'),
      poolSize,
    }),
    ...section('optimizer', { learningRate }),
    ...section('worker', { device, listen: toListen(config['worker'], { address: listen, keyFile, clientKeys: clientKey }) }),
    ...top,
  } as unknown as TrainInput
}

/** Flags over what the file says below `worker.listen`. */
function toListen(worker: unknown, flags: Record<string, unknown>): object | undefined {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
  const below = (worker as { listen?: object | null } | undefined)?.listen
  return Object.keys(given).length > 0 ? { ...below, ...given } : undefined
}

function readConfig(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  } catch (error) {
    throw new ConfigError([{ path: '--config', message: `expected a JSON file, got ${file}: ${(error as Error).message}` }])
  }
}

function exitCode(error: unknown): number {
  if (!(error instanceof ImmiscibleError)) return EXIT.failed
  if (error.code === 'CONFIG' || error.code === 'RUN_FOLDER') return EXIT.usage
  return error.code === 'ENVIRONMENT' ? EXIT.environment : EXIT.failed
}

function readVersion(): string {
  for (const up of ['../..', '../../..']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(`${up}/package.json`, import.meta.url), 'utf8')) as {
        name: string
        version: string
      }
      if (name === 'immiscible') return version
    } catch {
      // From source the package is two folders up, from dist three.
    }
  }
  return 'unknown'
}

function integer(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

function integers(text: string): number[] {
  return text.split(',').map((part) => integer(part.trim()))
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number')
  return value
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function log(text: string): void {
  process.stderr.write(`${text}\n`)
}
