/** `immiscible data fetch`: parse, download with a bar, print the paths. */
import type { Command } from 'commander'
import { fetchDataset, type FetchOptions } from '../index.ts'
import { formatBytes } from './bytes.ts'
import { withInterrupt } from './interrupt.ts'
import { createProgress } from './progress.ts'

/** Adds the command to `data`. */
export function addDataFetch(data: Command, print: (text: string) => void, log: (text: string) => void): void {
  data
    .command('fetch')
    .description('download a data set, or go on with it: prints the paths of its files')
    .argument('<name>', 'cifar10, cifar100, mnist, fashion-mnist, celeba, or OWNER/NAME on the Hugging Face Hub')
    .option('--url <base>', "address of a mirror's folder, or of another Hub; checksums stay the same")
    .option('--offline', 'never open a socket; as IMMISCIBLE_OFFLINE=1 and HF_HUB_OFFLINE=1')
    .option('--accept-terms', 'you read the terms of the data set (celeba), and accept them')
    .option('--revision <revision>', 'of a data set of the Hub: branch, tag or commit; main where it is not given')
    .option('--split <split>', 'of a data set of the Hub: files whose name begins with it; all where it is not given')
    .action(async (name: string, flags: FetchOptions) => {
      const progress = createProgress(process.stderr, formatBytes)
      let shown: string | undefined
      const watching: FetchOptions = {
        onNotice(message) {
          progress.end()
          log(message)
        },
        onProgress({ file, bytes, total }) {
          if (shown !== undefined && shown !== file) progress.end()
          shown = file
          progress.show(file, bytes, total)
        },
      }
      const fetching = withInterrupt((signal) => fetchDataset(name, { ...flags, ...watching, signal }))
      const fetched = await fetching.finally(() => progress.end())
      if (fetched.licence !== null) log(`licence: ${fetched.licence}`)
      print(fetched.files.join('\n'))
    })
}
