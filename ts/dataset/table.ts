/** Data sets by name: add a file and a row. */
import type { DatasetConfig } from '../../protocol/index.ts'
import type { Dataset } from './dataset.ts'
import { loadDigits } from './digits.ts'

const LOADERS: { readonly [K in DatasetConfig['kind']]: (config: DatasetConfig & { kind: K }) => Dataset } = {
  digits: loadDigits,
}

export function loadDataset(config: DatasetConfig): Dataset {
  return LOADERS[config.kind](config)
}
