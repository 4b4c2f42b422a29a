/** A terminal of any size that a test can look at: tmux, with a server of its own. */
import { spawnSync } from 'node:child_process'
import { onTestFinished } from 'vitest'
import { until } from './run.ts'

export const hasTmux = spawnSync('tmux', ['-V']).status === 0
if (!hasTmux) process.stderr.write('terminal tests are skipped: there is no tmux here\n')

export interface Terminal {
  /** What can be seen, without the empty lines at the end. `joined`: what was wrapped as one line. */
  look(joined?: boolean): string[]
  type(text: string): void
  /** As C-c, Enter. */
  press(key: string): void
  /** Waits until something can be seen, and answers all lines. */
  see(what: RegExp, seconds?: number): Promise<string[]>
}

/** A shell in `folder`; it ends with the test. */
export function openTerminal(folder: string, columns: number, rows: number, env: Readonly<Record<string, string>> = {}): Terminal {
  const server = `immiscible-${process.pid}-${Math.random().toString(36).slice(2)}`
  const tmux = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync('tmux', ['-L', server, '-f', '/dev/null', ...args], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`tmux ${args[0]}: ${stderr}`)
    return stdout
  }
  const variables = Object.entries({ CI: '', PS1: '$ ', ...env }).flatMap(([name, value]) => ['-e', `${name}=${value}`])
  tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), '-c', folder, ...variables, 'env', '-u', 'CI', 'sh')
  onTestFinished(() => {
    tmux('kill-server')
  })
  const look = (joined = false): string[] =>
    tmux('capture-pane', '-p', ...(joined ? ['-J'] : []))
      .trimEnd()
      .split('\n')
      .map((line) => line.trimEnd())
  return {
    look,
    type: (text) => tmux('send-keys', '-l', text),
    press: (key) => tmux('send-keys', key),
    see: (what, seconds = 60) =>
      until(`${what} in a terminal:\n${look().join('\n')}`, seconds, () => {
        const lines = look()
        return lines.some((line) => what.test(line)) && lines
      }),
  }
}
