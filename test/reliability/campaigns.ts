/** The table of campaigns, in the order in which they run: one file each. */
import type { Campaign } from './campaign.ts'
import { access } from './access.ts'
import { hostileTypescript } from './hostile-typescript.ts'
import { port } from './port.ts'

export const CAMPAIGNS: readonly Campaign[] = [access, hostileTypescript, port]
