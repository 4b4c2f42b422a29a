/** What the WASM modules export. Pointers are byte offsets into their memory; lengths count elements. */
export { normal } from './normal'
export { toFloat16 } from './half'
export { largestMagnitude, packNoise, packPixels, scaleFloats, unpack } from './pack'
export { benefitInt8, shortfalls } from './benefit'
export { costFloat32, costL1, pairProducts } from './cost'
export { auction } from './auction'
export { resizeColumns, resizeRows } from './resize'
export { linearSum } from './linear-sum'
