/** The command line in real terminals: narrow ones, pipes, redirections, Ctrl-C, questions. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { temporaryFolder, TINY } from './run.ts'
import { hasTmux, openTerminal, type Terminal } from './terminal.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
const LIMIT = { timeout: 180_000 }

/** A folder with a script `im` for the command line, and a config of a tiny run. */
function place(changes: object = {}): string {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'im'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, { mode: 0o755 })
  writeFileSync(join(folder, 'immiscible.config.json'), JSON.stringify({ ...TINY, outputDir: 'run', ...changes }))
  return folder
}

let numRun = 0

/** Runs a line, and answers what can be seen once the shell has said how it ended; each line by a number of its own, since the last answer may still be there. */
async function run(terminal: Terminal, line: string): Promise<{ lines: string[]; code: number }> {
  const ended = new RegExp(`^ended ${++numRun}: (\\d+)$`)
  terminal.type(`clear; ${line}; printf '\\nended ${numRun}: %s\\n' "$?"`)
  terminal.press('Enter')
  const lines = await terminal.see(ended, 120)
  return { lines, code: Number(lines.map((seen) => ended.exec(seen)?.[1]).find(Boolean)) }
}

describe.skipIf(!hasTmux)('a terminal', () => {
  test('of 40 columns: the status stays one line that changes in place', LIMIT, async () => {
    const terminal = openTerminal(place({ maxTrainSteps: 400 }), 40, 50)
    terminal.type('clear; ./im train; echo "ended $?"')
    terminal.press('Enter')
    await terminal.see(/^step \d+\/400 {2}\d/)
    const counts: number[] = []
    for (let look = 0; look < 20; look++) {
      const lines = terminal.look()
      counts.push(lines.filter((line) => line.startsWith('step ')).length)
      // A line that was wrapped would be longer once joined.
      expect(terminal.look(true).filter((line) => line.startsWith('step ') && line.length >= 40)).toEqual([])
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(Math.max(...counts)).toBe(1)
    const lines = await terminal.see(/^ended 0$/)
    expect(lines.join('')).toContain('finished after 400 steps')
    expect(lines.join('\n')).not.toMatch(/\^\[|\[K/)
  })

  test('of 40, 80 and 200 columns: tables do not wrap, and say the same where there is room', LIMIT, async () => {
    const folder = place()
    for (const [columns, rows] of [
      [80, 140],
      [200, 140],
    ] as const) {
      const terminal = openTerminal(folder, columns, rows)
      const { lines, code } = await run(terminal, './im config')
      expect(code).toBe(0)
      expect(lines.filter((line) => line.length >= columns)).toEqual([])
      expect(terminal.look(true).filter((line) => line.startsWith('optimizer.learningRate '))).toHaveLength(1)
    }
    const narrow = openTerminal(folder, 40, 400)
    const { lines } = await run(narrow, './im config')
    const at = lines.indexOf('optimizer.learningRate')
    expect(lines.slice(at, at + 3)).toEqual(['optimizer.learningRate', '  value 0.001', '  from default'])
    const help = await run(openTerminal(folder, 40, 1200), './im train --help')
    expect(help.lines.filter((line) => line.length > 40 && !line.trim().startsWith('--'))).toEqual([])
  })

  test('Ctrl-C saves and ends with 0, and the shell is there again', LIMIT, async () => {
    const folder = place({ maxTrainSteps: 100_000 })
    const terminal = openTerminal(folder, 100, 40)
    terminal.type('clear; ./im train; echo "ended $?"')
    terminal.press('Enter')
    await terminal.see(/^step \d+\/100000/)
    terminal.press('C-c')
    const lines = await terminal.see(/^ended \d+$/)
    expect(lines.some((line) => /saving and ending; once more to end at once/.test(line))).toBe(true)
    expect(lines.findLast((line) => line.startsWith('ended'))).toBe('ended 0')
    expect(existsSync(join(folder, 'run', 'lock'))).toBe(false)
    expect((await run(terminal, 'echo still here')).lines).toContain('still here')
  })

  test('pipes that close, and redirection: no trace of a stack, no control characters', LIMIT, async () => {
    const folder = place({ maxTrainSteps: 3 })
    const terminal = openTerminal(folder, 100, 40)
    for (const line of [
      './im config | head -1',
      './im train --help | head -1',
      './im strategies --json | true',
      './im config --json 2>&1 | head -c 1',
    ]) {
      const { lines } = await run(terminal, line)
      expect(lines.join('\n')).not.toMatch(/EPIPE|Error|node:|\n {4}at /)
    }
    if (existsSync('/dev/full')) {
      const full = await run(terminal, './im config > /dev/full')
      expect([full.code, full.lines.join(' ')]).toEqual([1, expect.stringContaining('cannot write to stdout: ENOSPC') as string])
    }
    const piped = await run(terminal, './im train --output-dir piped 2>&1 | head -1')
    expect(piped.lines.join('\n')).not.toMatch(/EPIPE|Error|node:/)
    await run(terminal, './im train --output-dir file --json > out.json 2> log.txt')
    const log = readFileSync(join(folder, 'log.txt'), 'utf8')
    expect(log).toMatch(/^config .*\n(.*\n)*step 3\/3 /)
    expect(log).not.toMatch(/[^\P{Cc}\n]/u)
    expect(JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8'))).toMatchObject({ outcome: 'finished', step: 3 })
    // The reader had gone after the first line; the run had not.
    expect(existsSync(join(folder, 'piped', 'pipeline', 'model_index.json'))).toBe(true)
  })

  test('in CI, a terminal gets plain lines', LIMIT, async () => {
    const terminal = openTerminal(place({ maxTrainSteps: 3 }), 100, 40)
    const { lines } = await run(terminal, 'CI=1 NO_COLOR=1 ./im train')
    expect(lines.filter((line) => line.startsWith('step ')).map((line) => line.split(' ')[1])).toEqual(['1/3', '3/3'])
  })

  test('init asks three questions, and again where an answer is none of them', LIMIT, async () => {
    const folder = place()
    const terminal = openTerminal(folder, 100, 40)
    terminal.type('clear; rm immiscible.config.json; ./im init; echo "ended $?"')
    terminal.press('Enter')
    for (const [question, said] of [
      [/^data set \(digits, emoji, .*\) \[digits\]:$/, 'emoji'],
      [/^objective .*\[ddim\]:$/, ''],
      [/^assignment strategy .*$/, 'gredy'],
    ] as const) {
      await terminal.see(question)
      terminal.type(said)
      terminal.press('Enter')
    }
    await terminal.see(/^expected one of .*, got 'gredy'$/)
    terminal.type('greedy')
    terminal.press('Enter')
    expect((await terminal.see(/^ended \d+$/)).findLast((line) => line.startsWith('ended'))).toBe('ended 0')
    const text = readFileSync(join(folder, 'immiscible.config.ts'), 'utf8')
    for (const kind of ['emoji', 'ddim', 'greedy']) expect(text).toContain(`kind: '${kind}'`)
  })

  test.each(['C-c', 'C-d'])('init, left with %s, writes nothing', LIMIT, async (key) => {
    const folder = place()
    const terminal = openTerminal(folder, 100, 40)
    terminal.type('clear; rm immiscible.config.json; ./im init; echo "ended $?"')
    terminal.press('Enter')
    await terminal.see(/^data set .*:$/)
    terminal.press(key)
    const lines = await terminal.see(/^ended \d+$/)
    expect(lines.findLast((line) => line.startsWith('ended'))).toBe('ended 2')
    expect(lines.join('\n')).toContain('nothing was written')
    expect(existsSync(join(folder, 'immiscible.config.ts'))).toBe(false)
  })
})
