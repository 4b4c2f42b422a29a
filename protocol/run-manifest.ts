/** run.json: what makes a run this run. Written once, checked at every resume, repeated by hash in every checkpoint. */
import { z } from 'zod'

export const runManifest = z
  .strictObject({
    format: z.literal('immiscible-run/1'),
    runId: z.string().regex(/^[0-9a-f]{32}$/),
    configHash: z.string(),
    datasetSha256: z.string(),
    protocolVersion: z.int32(),
    createdAt: z.string(),
  })
  .meta({ id: 'RunManifest' })

export type RunManifest = z.infer<typeof runManifest>
