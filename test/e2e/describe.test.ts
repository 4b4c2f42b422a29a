/** describeTraining(): what the trainer of such a run has, from the config alone. */
import { expect, test } from 'vitest'
import { describeTraining, type OwnDataset } from '../../ts/index.ts'

const UNREAD: Iterable<never> = {
  [Symbol.iterator]() {
    throw new Error('the images were read')
  },
}
const bytes = (numParameters: number): number => 4 * numParameters

test('the shape of the images comes from the data set, from an object of the caller, or from the call', async () => {
  const digits = await describeTraining({ dataset: 'digits', conditioning: { classLabels: true }, outputDir: 'unused' })
  const own: OwnDataset = { name: 'own', imageShape: [1, 8, 8], numClasses: 10, images: UNREAD }
  const { numParameters } = digits
  expect(numParameters).toBeGreaterThan(100_000)
  const parts = { weights: bytes(numParameters), gradients: bytes(numParameters), optimizer: 2 * bytes(numParameters) }
  expect(digits.stateBytes).toEqual({ ...parts, ema: bytes(numParameters), total: 5 * bytes(numParameters) })
  expect(await describeTraining({ dataset: own, conditioning: { classLabels: true }, outputDir: 'unused' })).toEqual(digits)
  const larger = await describeTraining({ dataset: 'digits', outputDir: 'unused' }, { imageShape: [1, 16, 16] })
  expect(larger.numParameters).toBeLessThan(numParameters)
  expect(larger.forwardFlops / digits.forwardFlops).toBeGreaterThan(3)
  expect(larger.activationBytes / digits.activationBytes).toBeGreaterThan(3)
})

test('what is wrong is said by field: of the config here, of network and images by the worker', async () => {
  await expect(describeTraining({ dataset: 'digits', globalBatchSize: 0, outputDir: 'unused' })).rejects.toThrow('globalBatchSize: ')
  await expect(describeTraining({ dataset: 'digits', outputDir: 'unused' }, { imageShape: [1, 9, 9] })).rejects.toThrow(
    'describe: network.blockOutChannels: expected image sides divisible by 2 for 2 levels, got 9 x 9',
  )
})
