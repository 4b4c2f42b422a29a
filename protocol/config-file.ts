/** What a config file may hold, for editors: the input of every section with its short forms, several named runs, and nothing required. */
import { z } from 'zod'
import { ASSIGNMENT_PRESETS, assignmentConfig, linearAssignment, nearestAssignment } from './assignment.ts'
import { trainConfig } from './config.ts'
import { datasetConfig } from './dataset.ts'
import { moduleNetwork, pretrainedNetwork, unetNetwork } from './network.ts'
import { consistencyObjective, ddimObjective, flowObjective, moduleObjective } from './objective.ts'

const kindsOf = (options: readonly { readonly shape: { readonly kind: z.ZodLiteral<string> } }[]): string[] =>
  options.map(({ shape }) => shape.kind.value)

const dataset = z.union([z.enum(kindsOf(datasetConfig.options)), ...datasetConfig.options])

const objective = z.union([
  z.enum(kindsOf([ddimObjective, consistencyObjective, flowObjective])),
  ddimObjective,
  consistencyObjective.partial().required({ kind: true }),
  flowObjective,
  moduleObjective.partial({ kind: true }),
])

const presets = z.enum(Object.keys(ASSIGNMENT_PRESETS))
const assignment = z.union([
  z.enum([...kindsOf(assignmentConfig.options), ...presets.options]),
  z
    .string()
    .regex(/[/\\]|\.[mc]?[jt]s$/)
    .describe("the path of a module of the user's own"),
  ...assignmentConfig.options.map((option) => (option as z.ZodObject).partial({ poolSize: true })),
  z
    .strictObject({ ...linearAssignment.shape, ...nearestAssignment.shape })
    .partial()
    .extend({ kind: presets }),
])

const network = z.union([
  unetNetwork.shape.preset,
  unetNetwork.partial(),
  pretrainedNetwork.partial({ kind: true }),
  moduleNetwork.partial({ kind: true }),
])

const run = trainConfig.extend({ dataset, objective, assignment, network }).partial()

const configFile = run.extend({
  $schema: z.string().optional().describe('for editors; not looked at'),
  runs: z.record(z.string(), run).optional().describe('several runs by name; what they share stands beside this. `--run NAME` chooses one'),
})

/** The JSON Schema of immiscible.config.json and .yaml, as text. */
export function generateConfigSchema(): string {
  const schema = z.toJSONSchema(configFile, { io: 'input', target: 'draft-07', reused: 'inline' })
  const head = { $comment: 'GENERATED from protocol/*.ts by `npm run protocol`; do not edit', title: 'immiscible.config' }
  return `${JSON.stringify({ ...head, ...schema }, null, 2)}\n`
}
