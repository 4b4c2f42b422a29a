/** The flags that name the Inception network of FID, of `measure` and `reproduce`. */
import type { Command } from 'commander'
import { ConfigError, type EvaluationConfig } from '../index.ts'
import type { InceptionFile } from '../recipe/index.ts'
import { oneOf } from './parse.ts'

type Inception = NonNullable<EvaluationConfig['inception']>

export interface InceptionFlags {
  readonly inception?: string
  readonly inceptionSha256?: string
  readonly inceptionBackend: Inception['backend']
  readonly inceptionMode?: Inception['mode']
}

/** @param defaultMode what stands where no mode is named, for the help. */
export function withInception(command: Command, defaultMode: string): Command {
  return command
    .option('--inception <file>', 'the Inception network of FID; else a small classifier, whose numbers are not FID')
    .option('--inception-sha256 <hex>', 'of that file')
    .option(
      '--inception-backend <name>',
      'torchscript, or torch-fidelity, which is an optional package',
      oneOf('torchscript', 'torch-fidelity'),
      'torchscript',
    )
    .option(
      '--inception-mode <name>',
      `how images are resized: legacy-tensorflow or pytorch-fid (default: ${defaultMode})`,
      oneOf('legacy-tensorflow', 'pytorch-fid'),
    )
}

/** undefined: no file is named. Throws a ConfigError for a file without its hash. */
export function inceptionOf({ inception, inceptionSha256, inceptionBackend, inceptionMode }: InceptionFlags): InceptionFile | undefined {
  if (inception === undefined) return undefined
  if (inceptionSha256 === undefined) {
    throw new ConfigError([{ path: 'inception-sha256', message: 'expected the SHA-256 of the Inception file, got nothing' }])
  }
  return { weights: inception, sha256: inceptionSha256, backend: inceptionBackend, ...(inceptionMode && { mode: inceptionMode }) }
}
