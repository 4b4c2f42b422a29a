/** How amounts of bytes are written. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const

/** In powers of a thousand: `512 bytes`, `3.1 MB`. */
export function formatBytes(bytes: number): string {
  let [amount, unit] = [bytes, 0]
  // 999.95 would be written as 1000.0.
  while (amount >= 999.95 && unit < UNITS.length - 1) [amount, unit] = [amount / 1000, unit + 1]
  return `${unit === 0 ? amount : amount.toFixed(1)} ${UNITS[unit]}`
}
