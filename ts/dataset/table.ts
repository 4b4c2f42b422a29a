/** Data sets by name: add a file and a row. */
import type { DatasetConfig } from '../../protocol/index.ts'
import type { Dataset } from './dataset.ts'
import { loadDigits } from './digits.ts'
import { loadEmoji } from './emoji.ts'

const LOADERS: { readonly [K in DatasetConfig['kind']]: (config: Extract<DatasetConfig, { kind: K }>) => Dataset } = {
  digits: () => loadDigits(),
  emoji: ({ resolution }) => loadEmoji(resolution),
}

export function loadDataset(config: DatasetConfig): Dataset {
  const load = LOADERS[config.kind] as (config: DatasetConfig) => Dataset
  return load(config)
}
