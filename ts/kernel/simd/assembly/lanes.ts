/** Of the four lanes of a vector of int32. */

@inline
export function most(value: v128): i32 {
  return max(
    max(i32x4.extract_lane(value, 0), i32x4.extract_lane(value, 1)),
    max(i32x4.extract_lane(value, 2), i32x4.extract_lane(value, 3)),
  )
}

@inline
export function least(value: v128): i32 {
  return min(
    min(i32x4.extract_lane(value, 0), i32x4.extract_lane(value, 1)),
    min(i32x4.extract_lane(value, 2), i32x4.extract_lane(value, 3)),
  )
}
