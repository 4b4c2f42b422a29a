/** What a run of the campaigns found, as one Markdown table. */
import type { Campaign, Outcome } from './campaign.ts'

export interface Row {
  readonly campaign: Campaign
  readonly outcome: Outcome
  readonly seconds: number
}

/** No violation, and every control caught. A campaign without trials or without controls shows nothing, so it does not hold. */
export function holds({ trials, violations, controls }: Outcome): boolean {
  return trials > 0 && violations.length === 0 && controls.length > 0 && controls.every(({ isCaught }) => isCaught)
}

export function formatTable(rows: readonly Row[]): string {
  return [
    '| campaign | trials | faults | violations | controls caught | seconds |',
    '|---|---|---|---|---|---|',
    ...rows.map(({ campaign, outcome: { trials, faults, violations, controls }, seconds }) => {
      const listed = Object.entries(faults).map(([kind, count]) => `${count.toLocaleString('en')} ${kind}`)
      const missed = controls.filter(({ isCaught }) => !isCaught).map(({ name }) => name)
      const caught = `${controls.length - missed.length} of ${controls.length}${missed.length > 0 ? ` (not: ${missed.join(', ')})` : ''}`
      const cells = [campaign.name, trials.toLocaleString('en'), listed.join(', ') || '-', violations.length, caught, seconds.toFixed(0)]
      return `| ${cells.join(' | ')} |`
    }),
  ].join('\n')
}
