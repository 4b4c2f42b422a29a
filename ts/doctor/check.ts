/** One thing that the doctor looks at. */

export interface Check {
  readonly name: string
  /** problem: training cannot work. warning: it can, and this should be known. */
  readonly status: 'ok' | 'warning' | 'problem'
  /** What there is, in a line. */
  readonly found: string
  /** What to do, in a sentence; absent where all is well. */
  readonly fix?: string
}

export const ok = (name: string, found: string): Check => ({ name, status: 'ok', found })
export const warning = (name: string, found: string, fix: string): Check => ({ name, status: 'warning', found, fix })
export const problem = (name: string, found: string, fix: string): Check => ({ name, status: 'problem', found, fix })
