/** immiscible/recipe: the papers' tables and figures, to list and to run. Exports only. */
export { RECIPES } from './table.ts'
export { STUDY } from './study.ts'
export { DEVICES, type Cost } from './cost.ts'
export { DEFAULT_SEEDS, reproduce, type InceptionFile, type Overrides, type ReproduceOptions, type Reproduction } from './reproduce.ts'
export { dryRun, type DryRun, type DryRunRow } from './dry-run.ts'
export { describeRecipe, type RecipeDescription } from './describe.ts'
export { formatReport, formatTable } from './format.ts'
export type { Arm, ArmRun, Context, Figure, Recipe, Report, Scale, Table, TrainSettings } from './recipe.ts'
