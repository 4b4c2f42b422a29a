/** environment.yml gives conda users the versions of py/pyproject.toml. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { trackingConfig } from '../../protocol/index.ts'
import { packageFolder, readWorkerRequirements, type Requirement } from '../../ts/worker/requirements.ts'

const yaml = readFileSync(join(packageFolder(), 'environment.yml'), 'utf8')
const pip = listItems(yaml.slice(yaml.indexOf('- pip:')))
const conda = listItems(yaml.slice(yaml.indexOf('dependencies:'), yaml.indexOf('- pip:')))
const python = /^python=(\d+)\.(\d+)$/.exec(conda[0] ?? '')

function listItems(section: string): string[] {
  return [...section.matchAll(/^\s+- ([^\s:]+)$/gm)].map(([, item]) => item)
}

/** Whether the requirement's marker holds for a Python 3 of this minor version. */
function holdsFor(minor: number, { text }: Requirement): boolean {
  const [, marker] = text.split(';')
  if (marker === undefined) return true
  const [, operator, bound] = /^\s*python_version\s*(<|>=)\s*['"]3\.(\d+)['"]\s*$/.exec(marker) ?? []
  if (operator === undefined) throw new Error(`expected a marker on python_version, got '${marker}'`)
  return operator === '<' ? minor < Number(bound) : minor >= Number(bound)
}

test('its pip section pins exactly what pyproject does for its Python', () => {
  const { base, minPython } = readWorkerRequirements()
  const minor = Number(python?.[2])
  expect(minor).toBeGreaterThanOrEqual(minPython[1])
  const pins = base.filter((requirement) => holdsFor(minor, requirement)).map(({ name, version }) => `${name}==${version}`)
  expect(pins.length).toBeGreaterThan(5)
  expect(pip.toSorted()).toEqual(pins.toSorted())
})

test("the trackers of a run that names none come with the worker: a first run installs nothing more, and a Python of the user's own need not", () => {
  const names = readWorkerRequirements().base.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(trackingConfig.parse({}).reportTo))
})

test('torch comes from PyPI, where the Linux wheels hold CUDA; conda brings Python and pip', () => {
  expect(conda).toEqual([python?.[0], 'pip'])
  expect(yaml).not.toMatch(/index-url|pytorch-cuda|cpuonly/)
})
