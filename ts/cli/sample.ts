/** `immiscible sample` and `immiscible evaluate`: parse, call, print. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { evaluateRun, sampleFiles, sampleRun, type SampleOptions } from '../index.ts'
import { integer, integers, number } from './parse.ts'

export type SamplerFlags = Omit<SampleOptions, 'classLabels' | 'onWarning' | 'onSetup'>

interface SampleFlags extends SamplerFlags {
  readonly output?: string
  readonly files?: string
  readonly json?: boolean
  readonly labels?: number[]
}

/** Adds the command. */
export function addSample(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  withSampler(program.command('sample'))
    .description('draw images from a finished run: a grid, or single files')
    .argument('<run>', 'run folder, or a pipeline folder')
    .option('--seed <seed>', 'seed of the noise', integer, 0)
    .option('--labels <classes>', 'of a class-conditional model: 0,1,2, cycled over the images; else every class in turn', integers)
    .option('--output <file>', 'PNG of the grid; samples.png where --files is not given either')
    .option('--files <folder>', 'an empty or new folder, for a PNG of each image')
    .option('--json', 'the paths, for programs')
    .action(async (runFolder: string, { output, files, json, labels, ...flags }: SampleFlags) => {
      const onWarning = (message: string, code: string): void => log(`warning ${code}: ${message}`)
      const options: SampleOptions = { ...flags, ...(labels && { classLabels: labels }), onWarning, onSetup: log }
      const grid = output === undefined && files !== undefined ? [] : [resolve(output ?? 'samples.png')]
      const images = files === undefined ? [] : await sampleFiles(runFolder, files, { ...options, ...(grid[0] && { grid: grid[0] }) })
      if (files === undefined) await sampleRun(runFolder, grid[0], options)
      print(json ? JSON.stringify({ grid: grid[0] ?? null, files: images }, null, 2) : [...grid, ...images].join('\n'))
    })
}

/** Adds the command. */
export function addEvaluate(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  withSampler(program.command('evaluate'))
    .description('judge the samples of a finished run by a small classifier trained on its data set')
    .argument('<run>', 'run folder')
    .option('--seed <seed>', 'seed of the starting noise', integer, 0)
    .option('--json', 'as it is printed anyway')
    .action(async (runFolder: string, { json: _json, ...flags }: SamplerFlags & { json?: boolean }) => {
      print(JSON.stringify(await evaluateRun(runFolder, { ...flags, onSetup: log }), null, 2))
    })
}

/** How to sample; what is not given is as the run sampled. */
export function withSampler(command: Command): Command {
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
