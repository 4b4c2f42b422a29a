/** A run as reports tell it, read whole out of its folder. */
import { readFileSync } from 'node:fs'
import { readRunFolder } from '../report/run-folder.ts'
import { findSample, readAbout } from './files.ts'
import type { Model } from './page/model.mjs'
import { watchRun, type RunState } from './watch.ts'

export interface ReportedRun {
  readonly key: string
  readonly name: string
  readonly path: string
  readonly model: Model
  readonly state: RunState
  readonly about: ReturnType<typeof readAbout>
  /** The first, the middle and the newest grid, as data URIs. */
  readonly samples: readonly { readonly step: number; readonly address: string }[]
}

/** @throws ImmiscibleError RUN_FOLDER where the folder holds no run. */
export function readRun(path: string, name: string): ReportedRun {
  readRunFolder(path)
  const run = watchRun(path)
  while (run.advance().isBehind);
  const { key, model, state } = run
  const wanted = new Set([model.samples[0], model.samples[model.samples.length >> 1], model.samples.at(-1)])
  const samples = [...wanted].flatMap((step) => (step === undefined ? [] : readSample(path, step)))
  return { key, name, path, model, state, about: readAbout(path), samples }
}

function readSample(path: string, step: number): ReportedRun['samples'] {
  try {
    return [{ step, address: `data:image/png;base64,${readFileSync(findSample(path, step)).toString('base64')}` }]
  } catch {
    return [] // deleted since
  }
}
