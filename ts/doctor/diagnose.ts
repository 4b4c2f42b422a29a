/** diagnose(): whether training can work here, thing by thing. Installs and changes nothing. */
import { cacheFolder } from '../cache-folder.ts'
import type { Environment } from '../worker/environment.ts'
import type { Check } from './check.ts'
import { checkCache, checkKernels, checkLoopback, checkNode, checkSockets, checkWorkingFolder } from './machine.ts'
import { checkPython } from './python.ts'

const ASK_MS = 10_000

export interface Diagnosis {
  /** No check has found a problem. */
  readonly canTrain: boolean
  readonly checks: readonly Check[]
  /** The Python that trains; undefined: there is none yet, or it cannot. */
  readonly environment: Environment | undefined
}

export interface DiagnoseOptions {
  /** For a Python to answer; 10 s, and three times that to import torch. */
  readonly timeoutMs?: number
}

export async function diagnose({ timeoutMs = ASK_MS }: DiagnoseOptions = {}): Promise<Diagnosis> {
  const [python, sockets, loopback] = await Promise.all([checkPython(timeoutMs), checkSockets(), checkLoopback()])
  const machine = [checkKernels(), sockets, loopback, checkCache(cacheFolder(), python.willInstall), checkWorkingFolder()]
  const checks = [checkNode(), ...python.checks, ...machine]
  return { canTrain: checks.every(({ status }) => status !== 'problem'), checks, environment: python.environment }
}
