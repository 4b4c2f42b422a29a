/** Brings the faults of a plan about, each once, and writes down that it did. */
import type { Disk } from './disk.ts'
import type { Note } from './ledger.ts'
import type { Interference, Network } from './network.ts'
import type { Fault, Plan } from './plan.ts'
import type { WorkerModel } from './worker-model.ts'
import type { Process, World } from './world.ts'

/** A worker's life. */
export interface Victim {
  readonly process: Process
  readonly generation: number
  readonly model: WorkerModel
  readonly exit: (exit: { readonly exitCode: number | null; readonly signal: string | null }) => void
}

/** What a fault can take hold of. */
export interface Machine {
  readonly world: World
  readonly disk: Disk
  readonly note: (note: Note) => void
  readonly isOver: () => boolean
  readonly workers: () => readonly Victim[]
  readonly orchestrator: () => Process | undefined
  readonly network: () => Network
  crashOrchestrator(): void
  startOrchestrator(): void
  stop(): void
}

export interface Faults {
  arm(): void
  /** A worker's main thread passes a place. It may never get any further. */
  pass(life: Victim, name: string, ms: number): Promise<void>
  interfere(kind: string, number: number): Interference | undefined
  batchDelay(): number
  takeBatchFailure(): boolean
  /** How long a process still cannot be killed. */
  killableIn(life: Victim): number
}

const NEVER = new Promise<never>(() => undefined)
/** With what an operation of the disk begins. */
const DISK = /^(save|retain|remove|load|pipeline|sample)/

function crashWorker(victim: Victim, exitCode: number | null): void {
  victim.exit({ exitCode, signal: exitCode === null ? 'SIGKILL' : null })
}

export function createFaults(plan: Plan, machine: Machine): Faults {
  const { world, disk, note } = machine
  const hung = new Set<Victim>()
  const killableAt = new Map<Victim, number>()
  const poisons = plan.faults.flatMap(({ fault }) => (fault.kind === 'poison' ? [{ step: fault.step, left: fault.times }] : []))
  const messages = new Set(plan.faults.flatMap(({ fault }) => (fault.kind === 'message' ? [fault] : [])))
  let numPassed = 0
  let diskFactor = 1
  let batchMs = 0
  let failsNextBatch = false
  let startMs = plan.faults.reduce((ms, { fault }) => (fault.kind === 'slowStart' ? ms + fault.ms : ms), 0)

  const record = (fault: Fault): void => note({ kind: 'fault', fault: JSON.stringify(fault) })
  const newest = (): Victim | undefined => machine.workers().at(-1)

  function strike(fault: Fault): void {
    if (machine.isOver()) return
    const victim = newest()
    switch (fault.kind) {
      case 'crash':
        if (!victim) return
        record(fault)
        return crashWorker(victim, fault.exitCode)
      case 'hang':
      case 'mute':
        if (!victim) return
        record(fault)
        hung.add(victim)
        killableAt.set(victim, world.now + fault.killableAfter)
        if (fault.kind === 'mute') victim.model.mute()
        return
      case 'pause':
        if (!victim) return
        record(fault)
        return pause([victim.process], fault.ms)
      case 'orchestratorPause':
      case 'pauseAll':
      case 'suspend': {
        const orchestrator = machine.orchestrator()
        if (!orchestrator?.isAlive) return
        record(fault)
        const workers = fault.kind === 'orchestratorPause' ? [] : machine.workers().map(({ process }) => process)
        return pause([orchestrator, ...workers], fault.ms, fault.kind === 'suspend')
      }
      case 'zombie':
        if (!victim || !machine.orchestrator()?.isAlive) return
        record(fault)
        pause([victim.process], fault.ms)
        return crashOrchestrator(fault.downMs)
      case 'orchestratorCrash':
      case 'bothCrash':
      case 'powerCut':
        if (!machine.orchestrator()?.isAlive) return
        record(fault)
        if (fault.kind !== 'orchestratorCrash') for (const worker of machine.workers()) crashWorker(worker, null)
        if (fault.kind === 'powerCut') disk.cutPower()
        return crashOrchestrator(fault.downMs)
      case 'wallJump':
        record(fault)
        return world.jumpWall(fault.ms)
      case 'slowDisk':
        record(fault)
        diskFactor *= fault.factor
        return world.after(fault.ms, () => (diskFactor /= fault.factor))
      case 'fullDisk':
        record(fault)
        disk.isFull = true
        return world.after(fault.ms, () => (disk.isFull = false))
      case 'damage':
        return damage(fault)
      case 'stop':
        if (!machine.orchestrator()?.isAlive) return
        return machine.stop()
      case 'clog':
        record(fault)
        return machine.network().clog(fault.socket, fault.ms)
      case 'disconnect':
        record(fault)
        return machine.network().disconnect(fault.socket, fault.ms)
      case 'batchFails':
        failsNextBatch = true
        return
      case 'slowBatches':
        record(fault)
        batchMs = fault.ms
        return world.after(5 * fault.ms, () => (batchMs = 0))
      case 'poison':
      case 'slowStart':
      case 'message':
    }
  }

  function pause(processes: readonly Process[], ms: number, isSuspend = false): void {
    for (const process of processes) process.pause()
    world.after(ms, () => {
      for (const process of processes) process.resume(isSuspend ? ms : 0)
    })
  }

  function crashOrchestrator(downMs: number): void {
    machine.crashOrchestrator()
    world.after(downMs, machine.startOrchestrator)
  }

  function damage(fault: Fault): void {
    const name = disk
      .names()
      .filter((each) => each.startsWith('step-'))
      .toSorted()
      .at(-1)
    const [file] = name === undefined ? [] : disk.files(name)
    if (name === undefined || file === undefined) return
    record(fault)
    disk.damage(name, file)
  }

  return {
    arm() {
      for (const { fault, atMs } of plan.faults) if (atMs !== null) world.after(atMs, () => strike(fault))
    },
    async pass(life, name, ms) {
      if (hung.has(life)) return NEVER
      numPassed++
      world.trace(`life ${life.generation} at ${name}`)
      for (const { fault } of plan.faults.filter(({ atPoint }) => atPoint === numPassed)) strike(fault)
      if (name === 'train') poison(life)
      if (name === 'import' && startMs > 0) {
        record({ kind: 'slowStart', ms: startMs })
        const late = startMs
        startMs = 0
        await life.process.sleep(late)
      }
      if (hung.has(life)) return NEVER
      const duration = ms * (DISK.test(name) ? diskFactor : 1)
      return life.process.sleep(duration + world.random.below(1 + duration))
    },
    interfere(kind, number) {
      for (const fault of messages) {
        if (fault.of !== kind || fault.number !== number) continue
        messages.delete(fault)
        record(fault)
        return fault.does
      }
      return undefined
    },
    batchDelay: () => batchMs,
    takeBatchFailure() {
      if (!failsNextBatch) return false
      failsNextBatch = false
      record({ kind: 'batchFails' })
      return true
    },
    killableIn: (life) => Math.max(0, (killableAt.get(life) ?? 0) - world.now),
  }

  /** The step that a worker is about to apply is the number of those that its ledger has. */
  function poison(life: Victim): void {
    const step = life.model.step()
    const found = poisons.find((each) => each.step === step && each.left > 0)
    if (!found) return
    found.left--
    record({ kind: 'poison', step, times: found.left })
    crashWorker(life, null)
  }
}
