/** `immiscible train` and `immiscible resume`: parse, call, show the run while it goes. */
import type { Command } from 'commander'
import { resumeImmiscible, trainImmiscible } from '../index.ts'
import { follow } from './follow.ts'
import { toInput, type TrainFlags } from './input.ts'
import { integer, number } from './parse.ts'

/** Adds the command. */
export function addTrain(program: Command, _print: (text: string) => void, log: (text: string) => void): void {
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
}

/** Adds the command. */
export function addResume(program: Command, _print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('resume')
    .description('go on with a run from its last checkpoint')
    .argument('<run>', 'run folder')
    .option('--max-train-steps <steps>', 'go further than planned', integer)
    .action(async (runFolder: string, flags: { maxTrainSteps?: number }) => {
      await follow(resumeImmiscible(runFolder, { ...flags, onSetup: log }))
    })
}
