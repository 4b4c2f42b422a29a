#!/usr/bin/env node
/** The command line: one line for each command, in the order of `immiscible --help`. What went wrong is one message and an exit code. */
import { Command } from 'commander'
import { addAnalyze } from './analyze.ts'
import { addConfig } from './config.ts'
import { addData } from './data.ts'
import { addDemo } from './demo.ts'
import { addDoctor } from './doctor.ts'
import { EXIT, EXIT_CODES, exitCode } from './exit.ts'
import { addInit } from './init.ts'
import { addKeys } from './keys.ts'
import { addMeasure } from './measure.ts'
import { log, print, tolerateClosedPipes } from './output.ts'
import { addReport } from './report.ts'
import { addReproduce } from './reproduce.ts'
import { addRuns } from './runs.ts'
import { addEvaluate, addSample } from './sample.ts'
import { addServe } from './serve.ts'
import { addSetup } from './setup.ts'
import { addStrategies } from './strategies.ts'
import { addResume, addTrain } from './train.ts'
import { addView } from './view.ts'
import { readVersion } from './version.ts'

tolerateClosedPipes(EXIT.failed)

const program = new Command('immiscible')
  .description('Train diffusion models on assigned noise (Immiscible Diffusion, arXiv 2406.12303).')
  .version(readVersion())
  .configureOutput({ writeErr: (text) => process.stderr.write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.usage))
  .addHelpText('after', `\nExit codes:\n${EXIT_CODES.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`).join('\n')}`)

addInit(program, print, log)
addConfig(program, print, log)
addTrain(program, print, log)
addResume(program, print, log)
addSample(program, print, log)
addEvaluate(program, print, log)
addMeasure(program, print, log)
addRuns(program, print, log)
addView(program, print, log)
addReport(program, print)
addReproduce(program, print, log)
addData(program, print, log)
addStrategies(program, print)
addAnalyze(program, print, log)
addServe(program, print, log)
addKeys(program, print)
addDoctor(program, print)
addSetup(program, print, log)
addDemo(program, print, log)

try {
  await program.parseAsync()
} catch (error) {
  log(`immiscible: ${(error as Error).message}`)
  process.exitCode = exitCode(error)
}
