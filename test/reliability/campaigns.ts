/** The table of campaigns, in the order in which they run: one file each. */
import type { Campaign } from './campaign.ts'
import { simulation } from './simulation.ts'

export const CAMPAIGNS: readonly Campaign[] = [simulation]
