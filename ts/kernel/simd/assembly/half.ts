/** Kernel.toFloat16: float32 to float16 bits, four at a time. See ts/kernel/half.ts. */

const INFINITY_BITS: i32 = 0x7f800000
const OVERFLOW_BITS: i32 = 0x47800000
const SUBNORMAL_BITS: i32 = 0x38800000
const HALF_BITS: i32 = 0x3f000000
const REBIAS: i32 = (127 - 15) << 23

/** Four halves in the low 16 bits of four lanes. */
@inline
function halves(value: v128): v128 {
  const sign = v128.and(i32x4.shr_u(value, 16), i32x4.splat(0x8000))
  const magnitude = v128.and(value, i32x4.splat(0x7fffffff))
  const isOdd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1))
  let half = i32x4.shr_u(i32x4.add(i32x4.add(i32x4.sub(magnitude, i32x4.splat(REBIAS)), i32x4.splat(0x0fff)), isOdd), 13)
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(HALF_BITS))
  half = v128.bitselect(subnormal, half, i32x4.lt_s(magnitude, i32x4.splat(SUBNORMAL_BITS)))
  half = v128.bitselect(i32x4.splat(0x7c00), half, i32x4.ge_s(magnitude, i32x4.splat(OVERFLOW_BITS)))
  half = v128.bitselect(i32x4.splat(0x7e00), half, i32x4.gt_s(magnitude, i32x4.splat(INFINITY_BITS)))
  return v128.or(half, sign)
}

/** `length` values; whole vectors of eight, then one by one through `scratch` (32 bytes). */
export function toFloat16(values: usize, length: i32, out: usize, scratch: usize): void {
  let at = 0
  for (; at + 8 <= length; at += 8) {
    const from = values + (<usize>at << 2)
    v128.store(out + (<usize>at << 1), i16x8.narrow_i32x4_u(halves(v128.load(from)), halves(v128.load(from, 16))))
  }
  if (at === length) return
  memory.copy(scratch, values + (<usize>at << 2), (length - at) << 2)
  v128.store(scratch, i16x8.narrow_i32x4_u(halves(v128.load(scratch)), halves(v128.load(scratch, 16))))
  memory.copy(out + (<usize>at << 1), scratch, (length - at) << 1)
}
