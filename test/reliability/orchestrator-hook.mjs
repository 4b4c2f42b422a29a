/** Inside an orchestrator under test: ends it by SIGKILL at its HOOK_CALL-th call that changes the run folder ("12 before" or "12 after"), or makes its wall clock jump. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const { HOOK_CALL, HOOK_FAULT, HOOK_FOLDER } = process.env
const CALLS = ['mkdirSync', 'renameSync', 'writeSync', 'appendFileSync', 'rmdirSync', 'unlinkSync']

if (isMainThread && HOOK_CALL && HOOK_FOLDER) {
  const [count, when] = HOOK_CALL.split(' ')
  let left = Number(count)
  const end = () => {
    fs.writeSync(2, `[hook] SIGKILL ${when} a call\n`)
    process.kill(process.pid, 'SIGKILL')
  }
  for (const name of CALLS) {
    const original = fs[name]
    fs[name] = (...args) => {
      const isCounted = name === 'writeSync' ? args[0] > 2 : String(args[0]).startsWith(`${HOOK_FOLDER}/run`)
      const isDue = isCounted && --left === 0
      if (isDue && when === 'before') end()
      const result = original(...args)
      if (isDue) end()
      return result
    }
  }
  syncBuiltinESMExports()
}

if (HOOK_FAULT === 'clock jumps' || HOOK_FAULT === 'timeouts by the wall clock') {
  const JUMPS = [0, -3, 730, -14_600].map((days) => days * 86_400_000)
  const RealDate = Date
  const monotonic = performance.now.bind(performance)
  const now = () => RealDate.now() + JUMPS[Math.floor(monotonic() / 7) % JUMPS.length]
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length > 0 ? args : [now()]))
    }
    static now() {
      return now()
    }
  }
  if (HOOK_FAULT === 'timeouts by the wall clock') performance.now = now
}
