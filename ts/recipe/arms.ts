/** The arms that recipes share: the same settings, with noise as drawn and as the papers assign it. */
import type { Arm, TrainSettings } from './recipe.ts'

type Assignments = Readonly<Record<string, NonNullable<TrainSettings['assignment']>>>

/** Of paper 1: noise as drawn, and the linear assignment. */
export const PAPER_1_ASSIGNMENTS: Assignments = { vanilla: 'independent', immiscible: 'paper-linear' }

/** Of paper 2, by the names of its tables: the nearest of k noises, and the linear assignment. */
export const PAPER_2_ASSIGNMENTS: Assignments = { vanilla: 'independent', KNN: 'paper-knn', LA: 'paper-linear' }

/** An arm for each assignment, named by it. @param prefix before each name, with its space. */
export function assignmentArms(settings: TrainSettings, assignments: Assignments, prefix = ''): Arm[] {
  return Object.entries(assignments).map(([name, assignment]) => ({ label: `${prefix}${name}`, settings: { ...settings, assignment } }))
}

/** The arm of the same settings whose noise is as drawn. */
export function vanillaOf(arm: string): string {
  return arm.replace(/\S+$/, 'vanilla')
}
