/** Tensors on the wire: the one table of dtypes, and how a raw frame is described in a header. */
import { z } from 'zod'

/** Bytes per element of each dtype that may cross the wire. Little-endian, C order. */
export const DTYPE_BYTES = { uint8: 1, int32: 4, float16: 2, float32: 4 } as const

export const dtype = z.enum(['uint8', 'int32', 'float16', 'float32'])

export const tensorSpec = z
  .strictObject({
    name: z.string().describe('images | noise | labels | uniforms'),
    dtype,
    shape: z.array(z.int32().min(0)).describe('dimensions, batch first'),
    byteLength: z.uint32().describe('bytes of the raw frame'),
    crc32: z.uint32().describe('CRC-32 (zlib) of the raw frame'),
  })
  .meta({ id: 'TensorSpec' })

export type Dtype = z.infer<typeof dtype>
export type TensorSpec = z.infer<typeof tensorSpec>
