/** dist/ from nothing: kernels, compiled sources, and the files that they read at run time. Run by `npm run build`. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../process.ts'
import { writeKernels } from './compile-kernels.ts'

const ROOT = join(import.meta.dirname, '..', '..')
/** What modules read at run time lies beside them under these endings. */
const ASSETS = /\.(bin|zlib|wasm|json|html|css|mjs)$/

await writeKernels()
rmSync(join(ROOT, 'dist'), { recursive: true, force: true })
const { exitCode } = await run(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], { cwd: ROOT, inherit: true })
for (const folder of ['ts', 'protocol']) {
  cpSync(join(ROOT, folder), join(ROOT, 'dist', folder), {
    recursive: true,
    filter: (source) => !/[/\\](golden|bootstrap|assembly)$/.test(source) && (ASSETS.test(source) || !/\.\w+$/.test(source)),
  })
}
process.exitCode = exitCode ?? 1
