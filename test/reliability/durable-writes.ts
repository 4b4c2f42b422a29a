/** `node durable-writes.ts FOLDER`: writes everything that the orchestrator keeps for a resume, for campaigns that watch how. */
import { join } from 'node:path'
import { hashConfig } from '../../protocol/index.ts'
import { keepNoise } from '../../ts/pipeline/kept-noise.ts'
import { createRunFolder } from '../../ts/report/run-folder.ts'
import { testConfig } from '../fixture/config.ts'

const path = join(process.argv[2], 'a', 'run')
const config = testConfig({ outputDir: path })
using folder = createRunFolder(config, {
  format: 'immiscible-run/1',
  runId: '0'.repeat(32),
  configHash: hashConfig(config),
  datasetSha256: 'x',
  protocolVersion: 1,
  createdAt: 'now',
})
for (let generation = 0; generation < 3; generation++) folder.takeGeneration()
folder.writeEnvironment({ worker: 'none' })
const layout = { identity: 'one', numImages: 64, poolsPerEpoch: 1, noisesPerImage: 1, epochsKept: 1, width: 1 }
const pool = keepNoise(layout, join(path, 'noise'), (index) => Promise.resolve(index))
for (let index = 0; index < 6; index++) await pool(index)
