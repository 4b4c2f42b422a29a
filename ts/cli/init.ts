/** `immiscible init`: three questions, and a config to start from. */
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { findConfigFile, ImmiscibleError, listConfigFields, STRATEGIES } from '../index.ts'

const FILE = 'immiscible.config.ts'

interface Question {
  readonly name: 'dataset' | 'objective' | 'assignment'
  readonly text: string
  /** The first is the default. */
  readonly answers: readonly string[]
}

type Answers = Partial<Record<Question['name'], string>>

/** Adds the command. */
export function addInit(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  const questions = listQuestions()
  const command = program.command('init').description(`write an ${FILE} to start from, by three questions`)
  for (const { name, text, answers } of questions) command.option(`--${name} <name>`, `${text}: ${answers.join(', ')}; not asked then`)
  command
    .option('--yes', 'ask nothing: the first answer to each question')
    .action(async ({ yes = false, ...given }: { yes?: boolean } & Answers) => {
      const existing = findConfigFile('.')
      if (existing !== undefined) refuse('init', `expected a folder without a config file, got one with ${existing}`)
      writeFileSync(FILE, toText(await answer(questions, given, yes, log)), { flag: 'wx' })
      print(FILE)
      log('train with: npx immiscible train')
    })
}

function listQuestions(): Question[] {
  const choices = (path: string): readonly string[] => listConfigFields().find((field) => field.path === path)?.choices ?? []
  const strategies = STRATEGIES.map(({ kind }) => kind)
  return [
    // An object of the user's own is none that a file could hold by name.
    { name: 'dataset', text: 'data set', answers: choices('dataset.kind').filter((kind) => kind !== 'custom') },
    { name: 'objective', text: 'objective', answers: choices('objective.kind').filter((kind) => kind !== 'module') },
    { name: 'assignment', text: 'assignment strategy', answers: ['quantized', ...strategies.filter((kind) => kind !== 'quantized')] },
  ]
}

async function answer(
  questions: readonly Question[],
  given: Answers,
  takeDefaults: boolean,
  log: (text: string) => void,
): Promise<Required<Answers>> {
  const answers = questions.map(({ name, answers: [first] }) => [name, given[name] ?? first] as const)
  const open = takeDefaults ? [] : questions.filter(({ name }) => given[name] === undefined)
  const chosen: Record<string, string> = Object.fromEntries(answers)
  for (const { name, answers: allowed } of questions) {
    if (!allowed.includes(chosen[name])) refuse(`--${name}`, `expected one of ${allowed.join(', ')}, got '${chosen[name]}'`)
  }
  if (open.length > 0) {
    if (!process.stdin.isTTY || !process.stderr.isTTY) refuse('init', 'expected a terminal to ask in, got none; --yes takes the defaults')
    const lines = createInterface({ input: process.stdin, output: process.stderr })
    const closed = new AbortController()
    lines.once('close', () => closed.abort()) // Ctrl-C or Ctrl-D: no answer will come
    try {
      for (const question of open)
        chosen[question.name] = await ask(question, (text) => lines.question(text, { signal: closed.signal }), log)
    } catch (error) {
      if (closed.signal.aborted) refuse('init', 'expected an answer, got none; nothing was written')
      throw error
    } finally {
      lines.close()
    }
  }
  return chosen as Required<Answers>
}

async function ask({ text, answers }: Question, question: (text: string) => Promise<string>, log: (text: string) => void): Promise<string> {
  for (;;) {
    const said = (await question(`${text} (${answers.join(', ')}) [${answers[0]}]: `)).trim()
    if (said === '') return answers[0]
    if (answers.includes(said)) return said
    log(`expected one of ${answers.join(', ')}, got '${said}'`)
  }
}

/** Kinds that nobody can fetch for the user. */
function needsPath(dataset: string): boolean {
  return ['image-folder', 'arrays', 'parquet'].includes(dataset)
}

function toText({ dataset, objective, assignment }: Required<Answers>): string {
  return [
    '/** What is trained, and how; `npx immiscible config` shows every field and its default. */',
    "import { defineConfig } from 'immiscible'",
    '',
    'export default defineConfig({',
    needsPath(dataset) ? `  dataset: { kind: '${dataset}', path: 'data' }, // where your files are` : `  dataset: { kind: '${dataset}' },`,
    `  objective: { kind: '${objective}' },`,
    `  assignment: { kind: '${assignment}' }, // the one line: \`npx immiscible strategies\` lists the others`,
    '  globalBatchSize: 64,',
    '  maxTrainSteps: 2000,',
    '  seed: 0,',
    "  outputDir: 'runs/first',",
    '})',
    '',
  ].join('\n')
}

function refuse(what: string, message: string): never {
  throw new ImmiscibleError('CONFIG', `${what}: ${message}`)
}
