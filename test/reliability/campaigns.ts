/** The table of campaigns, in the order in which they run: one file each. */
import type { Campaign } from './campaign.ts'
import { access } from './access.ts'
import { checkpoints } from './checkpoints.ts'
import { hostilePython } from './hostile-python.ts'
import { hostileTypescript } from './hostile-typescript.ts'
import { kills } from './kills.ts'
import { lifeCycle } from './life-cycle.ts'
import { port } from './port.ts'
import { simulation } from './simulation.ts'

export const CAMPAIGNS: readonly Campaign[] = [kills, checkpoints, lifeCycle, simulation, access, port, hostileTypescript, hostilePython]
