/** A diagnosis as text: a line for each check, and below it what to do. */
import type { Diagnosis } from './diagnose.ts'

const MARKS = { ok: 'ok', warning: 'note', problem: 'FAIL' } as const

export function formatDiagnosis({ checks, canTrain }: Diagnosis): string {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const lines = checks.flatMap(({ name, status, found, fix }) => {
    const [first, ...more] = found.split('\n')
    const indent = ' '.repeat(width + 8)
    return [
      `${MARKS[status].padEnd(4)}  ${name.padEnd(width)}  ${first}`,
      ...more.map((line) => indent + line),
      ...(fix === undefined ? [] : [`${indent}${fix}`]),
    ]
  })
  const numProblems = checks.filter(({ status }) => status === 'problem').length
  const verdict = canTrain
    ? 'Training can work here.'
    : `Training cannot work here: ${numProblems === 1 ? 'one problem' : `${numProblems} problems`}.`
  return [...lines, '', verdict].join('\n')
}
