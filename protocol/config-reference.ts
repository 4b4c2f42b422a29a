/** docs/config.md, from the schema: a row for every field, the presets, and how the three forms of a config file look. Written by `npm run protocol`. */
import { ASSIGNMENT_PRESETS, assignmentConfig } from './assignment.ts'
import { trainConfig } from './config.ts'
import { datasetConfig } from './dataset.ts'
import { listConfigFields, KIND_SECTIONS, type ConfigField } from './fields.ts'
import { NETWORK_PRESETS, networkConfig } from './network.ts'
import { CONSISTENCY_PRESETS, objectiveConfig } from './objective.ts'
import { resolveConfig } from './resolve.ts'

const UNIONS = { dataset: datasetConfig, objective: objectiveConfig, assignment: assignmentConfig, network: networkConfig }

/** The page, as text. */
export function generateConfigReference(): string {
  const sections = [...new Set(listConfigFields().flatMap(({ path }) => (path.includes('.') ? [path.split('.')[0]] : [])))]
  return `${[HEAD, describeSection(''), ...sections.map(describeSection)].join('\n\n')}\n`
}

function describeSection(section: string): string {
  const fields = listConfigFields().filter(({ path }) => (path.includes('.') ? path.split('.')[0] : '') === section)
  const description = section === '' ? '' : (trainConfig.shape[section as keyof typeof trainConfig.shape].description ?? '')
  const rows = fields.map((field) => {
    const { path, flag, shortFlag, variable } = field
    const flags = [flag, ...(shortFlag === undefined ? [] : [shortFlag])].map((name) => `\`--${name}\``)
    return [`\`${path}\``, typeOf(field), defaultOf(field), sayWhat(field), [...flags, `\`${variable}\``].join('<br>')]
  })
  const parts = [
    section === '' ? '## The run' : `## ${section}`,
    ...(description === '' ? [] : [`${capitalized(description)}.`]),
    ...describeKinds(section),
    table(['field', 'type', 'default', 'what it is', 'flags and variable'], rows),
    ...describePresets(section),
  ]
  return parts.join('\n\n')
}

function describeKinds(section: string): string[] {
  if (!isKindSection(section)) return []
  const rows = UNIONS[section].options.map(({ shape, description = '' }) => {
    const { kind, ...own } = shape
    const names = Object.keys(own).map((name) => `\`${name}\``)
    return [`\`${kind.value}\``, escaped(description), names.join(', ')]
  })
  return [table(['kind', 'what it is', 'fields'], rows)]
}

function describePresets(section: string): string[] {
  switch (section) {
    case 'assignment': {
      const rows = Object.entries(ASSIGNMENT_PRESETS).map(([name, { summary, source, expand }]) => [
        `\`${name}\``,
        Object.entries(expand('ddim'))
          .map(([field, value]) => `\`${field}: ${JSON.stringify(value)}\``)
          .join(', '),
        `${summary} (${source})`,
      ])
      return ['### Presets of assignment', table(['kind', 'sets, for ddim', 'what it is'], rows)]
    }
    case 'network':
      return ['### Presets of network', presetTable(NETWORK_PRESETS)]
    case 'objective':
      return ['### Presets of consistency', presetTable(CONSISTENCY_PRESETS)]
    default:
      return []
  }
}

/** A row for each field, a column for each preset. */
function presetTable(presets: Readonly<Record<string, object>>): string {
  const names = Object.keys(presets)
  const rows = Object.keys(presets[names[0]]).map((field) => [
    `\`${field}\``,
    ...names.map((name) => `\`${JSON.stringify((presets[name] as Record<string, unknown>)[field])}\``),
  ])
  return table(['field', ...names.map((name) => `\`${name}\``)], rows)
}

function typeOf({ type, items, choices, isNullable }: ConfigField): string {
  const named = choices.map((choice) => `\`${choice}\``).join(', ')
  const own = type === 'list' ? `list of ${named === '' ? `${items}s` : named}` : named === '' ? type : named
  return isNullable ? `${own}, or null` : own
}

function defaultOf(field: ConfigField): string {
  if (field.default !== undefined) return `\`${JSON.stringify(field.default)}\``
  const [section, name = ''] = field.path.split('.')
  const isPreset = section === 'network' ? Object.hasOwn(NETWORK_PRESETS.tiny, name) : Object.hasOwn(CONSISTENCY_PRESETS.improved, name)
  if (isPreset && (section === 'network' || section === 'objective')) return "the preset's"
  if (field.path === 'assignment.poolSize') return '`globalBatchSize`'
  if (field.path === 'objective.discretizationSteps') return '`maxTrainSteps`'
  if (field.path === 'objective.preset') return '`"improved"`'
  const value = defaultNames()[field.path]
  return value === undefined ? (field.path.startsWith('worker.listen.') ? 'needed where it listens' : 'needed') : `\`"${value}"\``
}

/** What a section is that nobody names. */
function defaultNames(): Readonly<Record<string, string>> {
  const resolved = resolveConfig({ dataset: 'digits', outputDir: 'runs/first' })
  if ('problems' in resolved) throw new Error('the smallest config: expected no problems')
  const { objective, assignment, network } = resolved.config
  return {
    'objective.kind': objective.kind,
    'assignment.kind': assignment.kind,
    'network.kind': network.kind,
    ...(network.kind === 'unet' && { 'network.preset': network.preset }),
  }
}

function sayWhat({ kinds, description }: ConfigField): string {
  return [...(kinds.length > 0 ? [`**${kinds.join(', ')}**`] : []), ...(description === '' ? [] : [escaped(description)])].join(': ')
}

function escaped(text: string): string {
  return text.replaceAll(/[|*_]/g, '\\$&')
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function isKindSection(section: string): section is (typeof KIND_SECTIONS)[number] {
  return (KIND_SECTIONS as readonly string[]).includes(section)
}

const NUM_SHORT = listConfigFields().filter(({ shortFlag }) => shortFlag !== undefined).length

const HEAD = `<!-- GENERATED from protocol/*.ts by \`npm run protocol\`; do not edit -->

# Config

Every field of a run. Only \`dataset\` and, where the run has no name, \`outputDir\` are needed: the rest has a default, which is meant for the small embedded data sets.

## Four ways to say it

Lowest first: **defaults < preset < file < environment < flags**. A flag wins over everything; a preset's value yields to a field given beside it.

### A file

\`immiscible.config.ts\` (or \`.mts\`, \`.js\`, \`.mjs\`, \`.json\`, \`.yaml\`, \`.yml\`) in the working directory is found by itself; \`--config FILE\` takes another. \`npx immiscible init\` writes
one by three questions. In TypeScript, \`defineConfig\` completes and checks in an editor:

\`\`\`sh
cat > immiscible.config.ts <<'END'
import { defineConfig } from 'immiscible'

export default defineConfig({
  dataset: { kind: 'emoji', resolution: 16 },
  assignment: { kind: 'quantized', poolSize: 512 },
  maxTrainSteps: 2000,
  outputDir: 'runs/first',
})
END
npx immiscible config
\`\`\`

JSON, which an editor completes by its \`$schema\`:

\`\`\`sh
cat > baseline.json <<'END'
{
  "$schema": "./node_modules/immiscible/dist/protocol/config.schema.json",
  "dataset": { "kind": "digits" },
  "assignment": "independent",
  "outputDir": "runs/baseline"
}
END
npx immiscible config --config baseline.json
\`\`\`

YAML, here with **named runs**: what they share stands at the top, \`--run NAME\` chooses one, and its \`outputDir\` is \`runs/NAME\` unless it says otherwise:

\`\`\`sh
cat > strategies.yaml <<'END'
dataset: digits
maxTrainSteps: 2000
runs:
  quantized: {}
  independent:
    assignment: independent
  paper:
    assignment: { kind: paper-linear, metric: squaredL2 }
END
npx immiscible config --config strategies.yaml --run paper
\`\`\`

A section with a \`kind\` may be written as its name alone: \`assignment: 'linear'\`, \`network: 'ddpm-cifar10'\` (a preset). A higher layer that names another kind
brings its own fields: those that a lower layer gave to the old one do not apply to it.

### Environment and flags

Every field has a variable, \`IMMISCIBLE_SECTION__FIELD\`, and a flag, \`--section.field\`; ${NUM_SHORT} have short flags as well. An unknown name is an error that suggests the nearest:

\`\`\`sh
IMMISCIBLE_OPTIMIZER__LEARNING_RATE=0.0005 IMMISCIBLE_ASSIGNMENT=linear npx immiscible config --config baseline.json --seed 3
\`\`\`

| | as text |
|---|---|
| true or false | \`true\`, \`false\`, \`1\`, \`0\`; a flag alone is true |
| list | \`a,b\`; nothing for an empty list |
| object | JSON |
| nullable | \`null\` |

\`worker.listen.clientKeys\` has the short flag \`--client-key FILE\` too, given once for each file.

### Which value, from where

\`npx immiscible config\` takes the same flags as \`train\`, and prints each value and where it came from (\`--json\` for programs). From TypeScript, \`loadConfig()\` answers the same:

\`\`\`ts
import { describeSource, loadConfig } from 'immiscible'

const { values } = await loadConfig({ file: 'baseline.json', flags: [{ path: 'seed', value: 3, name: '--seed' }] })
for (const { path, value, source } of values) console.log(path, value, describeSource(source))
\`\`\``
