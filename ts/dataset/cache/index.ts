/** The cache of decoded data sets: decode once, open checked. */
export { listCached, readRecord, datasetsFolder } from './folder.ts'
export { openCached } from './open.ts'
export { cacheContent, cacheSource, contentFolder, type BuildOptions, type DatasetProgress } from './write.ts'
