/** `node test/reliability/simulation/replay.ts SEED [--trace]`: one schedule again, what it broke, and its trace's hash. */
import { check } from './checker.ts'
import { runSchedule } from './schedule.ts'

const [seed, flag] = process.argv.slice(2)
const onTrace = (line: string): void => void process.stdout.write(`${line}\n`)
const run = await runSchedule(Number(seed), flag === '--trace' ? { onTrace } : {})
process.stdout.write(`${JSON.stringify({ seed: Number(seed), violations: check(run), digest: run.digest })}\n`)
