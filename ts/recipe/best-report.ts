/** The report of recipes that compare runs by their best value: that of each arm, how much sooner it is as good as its baseline, and the curves. */
import { plotCurves } from './curves.ts'
import type { Context, Report } from './recipe.ts'
import { bestTable, speedTable } from './tables.ts'

/** @param baselineOf the arm's own name for a baseline. */
export async function bestReport(context: Context, baselineOf: (arm: string) => string, notes: readonly string[] = []): Promise<Report> {
  return {
    tables: [bestTable(context, 'Best value of each run'), speedTable(context, baselineOf)],
    pictures: [await plotCurves(context)],
    notes,
  }
}
