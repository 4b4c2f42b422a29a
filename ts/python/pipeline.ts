/** loadPipeline(): a finished run's pipeline that stays loaded in Python and is sampled as often as one likes. */
import { resolve } from 'node:path'
import { findPipeline, toSettings, type SamplingOptions } from '../sampling.ts'
import type { CallOptions, Python } from './open.ts'
import type { PythonArray } from './values.ts'

export interface LoadOptions {
  /** auto (default): cuda, else mps, else cpu. The seed fixes the noise on each; the last bits of an image may differ. */
  readonly device?: 'auto' | 'cuda' | 'mps' | 'cpu'
  /** Run the code of the user's own network that lies in a pipeline folder. Default: in a run folder whose config has such a network yes; elsewhere no. */
  readonly trustRemoteCode?: boolean
  /** Default: a process warning, which Node prints on stderr. */
  readonly onWarning?: (message: string, code: string) => void
}

/** Where an option is not given it is as the run sampled (the seed: 0). One that the model's sampler does not have is refused. */
export interface PipelineSampling extends Omit<SamplingOptions, 'trustRemoteCode' | 'onSetup'>, Omit<CallOptions, 'keywords'> {
  /** Of a class-conditional model: cycled over the images. Default: every class in turn. */
  readonly classLabels?: readonly number[]
}

export interface LoadedPipeline extends AsyncDisposable {
  readonly sampler: 'ddim' | 'consistency' | 'flow'
  readonly device: 'cuda' | 'mps' | 'cpu'
  /** 0 for an unconditional model. */
  readonly numClasses: number
  /** Height, width, channels; of a model of latents the latents'. */
  readonly imageShape: readonly [number, number, number]
  /** Images of shape [N, H, W, C]: bytes 0..255; of latents what their autoencoder makes of them, or their first channels. Equal to the pixels of sampleToFiles() with the same options. */
  sample(options?: PipelineSampling & { readonly dtype?: 'uint8' }): Promise<PythonArray<Uint8Array>>
  /** As the network made them: about -1..1, or latents. */
  sample(options: PipelineSampling & { readonly dtype: 'float32' }): Promise<PythonArray<Float32Array>>
  /**
   * A grid where `output` ends with .png; else a folder that is made or empty, with one PNG for each image.
   * @returns the paths, in the order of the images.
   */
  sampleToFiles(output: string, options?: PipelineSampling): Promise<string[]>
  /** Frees its memory; closing Python does too. */
  unload(): Promise<void>
}

interface Warned {
  readonly warnings: readonly { readonly code: string; readonly message: string }[]
}

/**
 * @param folder a run folder, or a pipeline folder wherever it is.
 * @throws ImmiscibleError RUN_FOLDER; PythonError where the pipeline does not load.
 */
export async function loadPipeline(python: Python, folder: string, options: LoadOptions = {}): Promise<LoadedPipeline> {
  const found = findPipeline(folder)
  const { device = 'auto', trustRemoteCode = found.trustRemoteCode } = options
  const { onWarning = (message, code) => process.emitWarning(message, { code }) } = options
  const { id, ...what } = (await python.call('immiscible_worker.ready:load_pipeline', {
    pipeline: found.pipeline,
    trust_remote_code: trustRemoteCode,
    device,
  })) as { id: number } & Pick<LoadedPipeline, 'sampler' | 'device' | 'numClasses' | 'imageShape'>

  async function ask<T extends Warned>(name: string, args: object, asked: PipelineSampling): Promise<T> {
    const { numImages = found.numImages, seed = 0, classLabels = null, timeoutMs, signal } = asked
    const answer = (await python.call(
      `immiscible_worker.ready:${name}`,
      { pipeline_id: id, num_images: numImages, seed, class_labels: classLabels, settings: toPythonNames(toSettings(asked)), ...args },
      { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) },
    )) as T
    for (const { code, message } of answer.warnings) onWarning(message, code)
    return answer
  }

  const unload = async (): Promise<void> => {
    await python.call('immiscible_worker.ready:unload_pipeline', [id])
  }

  return {
    ...what,
    async sample({ dtype = 'uint8', ...asked }: PipelineSampling & { readonly dtype?: 'uint8' | 'float32' } = {}) {
      const { images } = await ask<Warned & { images: PythonArray }>('sample_to_array', { is_float: dtype === 'float32' }, asked)
      return images as never
    },
    async sampleToFiles(output, asked = {}) {
      const { paths } = await ask<Warned & { paths: string[] }>('sample_to_files', { output: resolve(output) }, asked)
      return paths
    },
    unload,
    [Symbol.asyncDispose]: unload,
  }
}

function toPythonNames(options: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  )
}
