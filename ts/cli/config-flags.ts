/** A flag for every leaf of the config, made from its schema: `--optimizer.learning-rate`, and short names for the most used. */
import { InvalidArgumentError, Option, type Command, type Help } from 'commander'
import {
  loadConfig,
  listConfigFields,
  parseConfigValue,
  type ConfigField,
  type ConfigFlag,
  type LoadConfigOptions,
  type LoadedConfig,
} from '../index.ts'

/** Given once for each file, whose names may hold commas. */
const CLIENT_KEY = { flag: 'client-key', long: 'worker.listen.client-keys', path: 'worker.listen.clientKeys' }

type Flags = Readonly<Record<string, unknown>>

/** Adds `--config`, `--run` and the flags of every field, or of those that are asked for. */
export function addConfigFlags(command: Command, isWanted: (field: ConfigField) => boolean = () => true): Command {
  command
    .option('--config <file>', 'config file (.ts, .js, .json, .yaml). Default: immiscible.config.* in this folder, where there is one')
    .option('--run <name>', 'one of the runs that the config file names')
    .configureHelp({ formatItem })
  const fields = listConfigFields().filter(isWanted)
  for (const field of fields) if (field.shortFlag !== undefined) command.addOption(toOption(field.shortFlag, field, undefined))
  if (fields.some(({ path }) => path === CLIENT_KEY.path)) {
    command.option(`--${CLIENT_KEY.flag} <file...>`, `short for --${CLIENT_KEY.long}, one file each`)
  }
  for (const field of fields) {
    const [section, ...rest] = field.path.split('.')
    command.addOption(toOption(field.flag, field, rest.length === 0 ? 'run:' : `${section}:`))
  }
  return command
}

/** The config that the flags of a command, the environment and the file make together. */
export async function loadFlags(flags: Flags): Promise<LoadedConfig> {
  const { config, run } = flags as { config?: string; run?: string }
  const given = readFlags(flags)
  const options: LoadConfigOptions = { flags: given, ...(config !== undefined && { file: config }), ...(run !== undefined && { run }) }
  return loadConfig(options)
}

function readFlags(flags: Flags): ConfigFlag[] {
  const names = new Map<string, { path: string; name: string }>([
    // commander's own names, camel-cased at each dash: those of the long flags are the paths.
    ...listConfigFields().flatMap(({ path, flag, shortFlag = flag }) => [
      [path, { path, name: `--${flag}` }] as const,
      [camelCase(shortFlag), { path, name: `--${shortFlag}` }] as const,
    ]),
    [camelCase(CLIENT_KEY.flag), { path: CLIENT_KEY.path, name: `--${CLIENT_KEY.flag}` }],
  ])
  return Object.entries(flags).flatMap(([key, value]) => {
    const known = names.get(key)
    const given = typeof value === 'object' && value !== null && 'parsed' in value ? value.parsed : value
    return known && value !== undefined ? [{ ...known, value: given }] : []
  })
}

function toOption(flag: string, field: ConfigField, heading: string | undefined): Option {
  const option = new Option(`--${flag} ${describeArgument(field)}`, describe(field, flag))
  option.argParser((text: string) => {
    try {
      // Wrapped, since commander takes a null for a flag without an argument.
      return { parsed: parseConfigValue(field, text) }
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message)
    }
  })
  return heading === undefined ? option : option.helpGroup(heading)
}

function describeArgument({ type, choices }: ConfigField): string {
  switch (type) {
    case 'boolean':
      return '[true|false]'
    case 'list':
      return '<a,b>'
    case 'object':
      return '<json>'
    case 'string':
      return choices.length > 0 ? '<name>' : '<text>'
    default:
      return `<${type}>`
  }
}

function describe(field: ConfigField, flag: string): string {
  const { flag: long, description, choices, kinds, isNullable, default: value } = field
  const parts = [
    ...(flag === long ? [] : [`short for --${long}`]),
    ...(kinds.length > 0 ? [`of ${kinds.join(', ')}`] : []),
    ...(description === '' ? [] : [description]),
    ...(choices.length > 0 ? [`one of ${choices.join(', ')}`] : []),
    ...(isNullable ? ['or null'] : []),
  ]
  return `${parts.join('; ')}${value === undefined ? '' : ` (default: ${JSON.stringify(value)})`}`
}

function camelCase(flag: string): string {
  return flag.replaceAll(/-[a-z]/g, (dash) => dash[1].toUpperCase())
}

/** Below the flag instead of beside it: some flags are longer than half a line. */
function formatItem(this: void, term: string, _width: number, description: string, helper: Help): string {
  const width = Math.max(20, Math.min(100, helper.helpWidth ?? 80) - 8)
  const lines = description === '' ? [] : helper.boxWrap(description, width).split('\n')
  return [`  ${term}`, ...lines.map((line) => `      ${line}`)].join('\n')
}
