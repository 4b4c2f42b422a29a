/** `immiscible analyze`: its commands, of assignments and of finished runs. */
import type { Command } from 'commander'
import { addAssignment, addGaussianity } from './analyze-noise.ts'
import { addDenoising, addMiscibility } from './analyze-runs.ts'

/** Adds the command. */
export function addAnalyze(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  const analyze = program.command('analyze').description('numbers about assignments, and about what models have learnt of them')
  addAssignment(analyze, print, log)
  addGaussianity(analyze, print, log)
  addDenoising(analyze, print, log)
  addMiscibility(analyze, print, log)
}
