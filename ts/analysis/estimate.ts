/** A mean over seeds, and how far it may be off. */

export interface Estimate {
  readonly mean: number
  /** Half the width of the 95 % interval, by Student's t; null from a single value. */
  readonly halfWidth: number | null
}

/** 0.975 quantiles of Student's t for 1, 2, ... degrees of freedom. */
const T_QUANTILES = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281]
const NORMAL_QUANTILE = 1.959_964

export function estimate(values: readonly number[]): Estimate {
  const n = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  if (n < 2) return { mean, halfWidth: null }
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)
  return { mean, halfWidth: studentQuantile(n - 1) * Math.sqrt(variance / n) }
}

/** The 0.975 quantile: from the table, beyond it by Cornish and Fisher's expansion, within 0.0002. */
export function studentQuantile(degrees: number): number {
  const z = NORMAL_QUANTILE
  return (
    T_QUANTILES[degrees - 1] ??
    z +
      (z ** 3 + z) / (4 * degrees) +
      (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) +
      (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3)
  )
}
