/** `immiscible data encode`: parses, calls, shows how far it is. */
import type { Command } from 'commander'
import { encodeDataset, type EncodeOptions } from '../index.ts'
import { addConfigFlags, loadFlags } from './config-flags.ts'
import { withInterrupt } from './interrupt.ts'
import { integer } from './parse.ts'
import { createProgress } from './progress.ts'

interface Flags extends Pick<EncodeOptions, 'vae' | 'output' | 'overwrite' | 'mirrored' | 'batchSize' | 'device'> {
  readonly json?: boolean
}

/** Adds the command. */
export function addDataEncode(data: Command, print: (text: string) => void, log: (text: string) => void): void {
  addConfigFlags(data.command('encode'), ({ path }) => path.startsWith('dataset.'))
    .description('the latents of a data set, once, by an autoencoder: a file to train on')
    .requiredOption('--vae <folder>', "a local folder with diffusers' AutoencoderKL, in safetensors")
    .requiredOption('--output <file>', 'the .safetensors file')
    .option('--overwrite', 'replace it')
    .option('--mirrored', 'the mirror images too, which dataset.horizontalFlip needs')
    .option('--batch-size <images>', 'images that go through the autoencoder at once (default: 16)', integer)
    .option('--device <name>', 'auto, cuda, mps or cpu (default: auto)')
    .option('--json', 'the result, for programs')
    .action(async (flags: Flags & Readonly<Record<string, unknown>>) => {
      const { vae, output, overwrite, mirrored, batchSize, device, json } = flags
      const { config } = await loadFlags({ outputDir: 'unused', ...flags })
      const progress = createProgress(process.stderr)
      const options: EncodeOptions = {
        dataset: config.dataset,
        vae,
        output,
        ...(overwrite !== undefined && { overwrite }),
        ...(mirrored !== undefined && { mirrored }),
        ...(batchSize !== undefined && { batchSize }),
        ...(device !== undefined && { device }),
        onSetup: log,
        onProgress({ name, numImages, total, isDone }) {
          progress.show(`decoding ${name}`, numImages, total)
          if (isDone) progress.end()
        },
        onEncoded(numImages, total) {
          progress.show('encoding', numImages, total)
          if (numImages === total) progress.end()
        },
      }
      const encoding = withInterrupt((signal) => encodeDataset({ ...options, signal }))
      const result = await encoding.finally(() => progress.end())
      const { file, shape, scalingFactor } = result
      print(json ? JSON.stringify(result, null, 2) : `${file}  ${shape.join(' x ')}, to be multiplied by ${scalingFactor}`)
      if (!json) log(`train with: npx immiscible train --dataset arrays --path ${file}`)
    })
}
