/** encodeDataset(): the latents of a data set, once, by an autoencoder of diffusers, as a file that is trained on in its place. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { TrainConfigInput } from '../protocol/index.ts'
import { isOwnDataset, type OwnDataset } from './dataset/custom.ts'
import { withDatasetFiles } from './dataset-files.ts'
import type { BuildOptions } from './dataset/table.ts'
import { ConfigError } from './errors.ts'
import { resolveDataset } from './prepare.ts'
import { runTool } from './worker/tool.ts'

export interface EncodeOptions extends Omit<BuildOptions, 'onWait'> {
  /** The section of a config, its kind alone, or a data set of your own: pixels. */
  readonly dataset: TrainConfigInput['dataset'] | OwnDataset
  /** A folder with an AutoencoderKL as diffusers saves it, in safetensors; nothing is downloaded. */
  readonly vae: string
  /** The safetensors file that is written. */
  readonly output: string
  /** Replace an output that is there. Default: refuse. */
  readonly overwrite?: boolean
  /** The mirror images too, encoded for themselves: what `horizontalFlip` needs. Default: false. */
  readonly mirrored?: boolean
  /** Images that go through the autoencoder at once. Default: 16. */
  readonly batchSize?: number
  /** Default: the first of cuda, mps and cpu that is there. */
  readonly device?: 'auto' | 'cuda' | 'mps' | 'cpu'
  /** Progress of the one-time installation of Python packages, a line at a time. */
  readonly onSetup?: (line: string) => void
  /** Called with the number of images encoded, of all. */
  readonly onEncoded?: (numImages: number, total: number) => void
}

export interface EncodedDataset {
  readonly file: string
  /** Images, channels, height, width: of the latents. */
  readonly shape: readonly [number, number, number, number]
  /** What latents are multiplied by when they are trained on; in the file too. */
  readonly scalingFactor: number
  /** Of the file. */
  readonly sha256: string
}

const BATCH_SIZE = 16

/**
 * Encodes every image once: mean and standard deviation of its posterior, float32, as `dataset: { kind: 'arrays', path: FILE }` reads them.
 * The file is whole or not there; a call that was interrupted begins anew.
 * Rejects with a ConfigError for a wrong option, a DATASET error for the data, a WorkerError where autoencoder and images do not fit.
 */
export async function encodeDataset(options: EncodeOptions): Promise<EncodedDataset> {
  const {
    vae,
    output,
    overwrite = false,
    mirrored = false,
    batchSize = BATCH_SIZE,
    device = 'auto',
    signal,
    onProgress,
    onEncoded,
  } = options
  const dataset = isOwnDataset(options.dataset) ? options.dataset : resolveDataset(options.dataset)
  const file = resolve(output)
  refuse(Number.isInteger(batchSize) && batchSize > 0, 'batchSize', `expected an integer of at least 1, got ${batchSize}`)
  refuse(file.endsWith('.safetensors'), 'output', `expected a name that ends in .safetensors, got ${output}`)
  refuse(overwrite || !existsSync(file), 'output', `expected no file, got ${file}, which is there`)
  const work = async (files: DatasetToEncode): Promise<EncodedDataset> => {
    const { images, labels, imageShape, numImages, name, sha256, classNames } = files
    const metadata = { dataset: name, dataset_sha256: sha256, class_names: JSON.stringify(classNames) }
    const request = { images, labels, imageShape, vae: resolve(vae), output: file, batchSize, isMirrored: mirrored, device, metadata }
    const answer = (await runTool('encode', request, {
      onSetup: options.onSetup ?? (() => undefined),
      signal,
      onLine(line, stream) {
        const encoded = stream === 'stdout' ? /^\{"encoded":(\d+)\}$/.exec(line) : null
        if (encoded) onEncoded?.(Number(encoded[1]), numImages)
      },
    })) as Omit<EncodedDataset, 'file'>
    return { file, ...answer }
  }
  return withDatasetFiles(dataset, work, { signal, onProgress })
}

type DatasetToEncode = Parameters<Parameters<typeof withDatasetFiles>[1]>[0]

function refuse(holds: boolean, path: string, message: string): void {
  if (!holds) throw new ConfigError([{ path, message }])
}
