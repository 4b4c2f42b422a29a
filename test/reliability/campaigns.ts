/** The table of campaigns, in the order in which they run: one file each. */
import type { Campaign } from './campaign.ts'
import { checkpoints } from './checkpoints.ts'
import { hostilePython } from './hostile-python.ts'

export const CAMPAIGNS: readonly Campaign[] = [checkpoints, hostilePython]
