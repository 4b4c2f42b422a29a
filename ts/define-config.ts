/** The type of a config file, for `immiscible.config.ts`. */
import type { TrainInput } from './prepare.ts'

/** A run in a config file. What it leaves out comes from the environment, from flags, or is a default. */
export type RunConfig = Partial<TrainInput>

/** One run; or several, by name, with what they share beside them. */
export interface ConfigFile extends RunConfig {
  /** For editors; not looked at. */
  readonly $schema?: string
  /** `--run NAME` chooses one; its `outputDir` is `runs/NAME` unless it says otherwise. */
  readonly runs?: Readonly<Record<string, RunConfig>>
}

/** Answers what it is given, which an editor now completes and checks: `export default defineConfig({ dataset: 'digits' })`. */
export function defineConfig(config: ConfigFile): ConfigFile {
  return config
}
