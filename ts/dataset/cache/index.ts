/** The cache of decoded data sets: decode once, open checked. */
export { cleanCache, type Removal } from './clean.ts'
export { datasetsFolder, listCached, readRecord, type CachedCopy } from './folder.ts'
export { openCached } from './open.ts'
export { verifyCopy, type CopyCheck, type CopyProblem } from './verify.ts'
export { cacheContent, cacheSource, contentFolder, type BuildOptions, type DatasetProgress } from './write.ts'
