/** What the test of the documents changes in their code before it runs it: how much is computed, and nothing else. */

/** Text in the documents, and what stands there when it is run. Each must be found somewhere, or the test fails. */
export const SHORTER: readonly (readonly [text: string, instead: string])[] = [
  ['maxTrainSteps: 2000', 'maxTrainSteps: 3'],
  ['"maxTrainSteps": 2000', '"maxTrainSteps": 3'],
  ['--max-train-steps 2000', '--max-train-steps 3'],
  ['--max-train-steps 4000', '--max-train-steps 4'],
  ['--max-train-steps 200 ', '--max-train-steps 3 '],
  ['num_inference_steps=50', 'num_inference_steps=2'],
  ['--num-images 64', '--num-images 4'],
  ['--batch-sizes 128,256,512,1024 --seeds 5', '--batch-sizes 16,32 --seeds 2'],
  ['--batch-sizes 128,1024', '--batch-sizes 16,32'],
  ['--batch-sizes 128,256', '--batch-sizes 16,32'],
]

export function shorten(source: string): string {
  return SHORTER.reduce((text, [from, to]) => text.replaceAll(from, to), source)
}
