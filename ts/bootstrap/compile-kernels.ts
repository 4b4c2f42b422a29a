/** ts/kernel/simd/assembly -> ts/kernel/simd/*.wasm. Run by `npm run kernels`; the results are committed, and a test compiles and compares. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** By a name that the type checker does not follow: the compiler's own types redeclare Array for the whole program. */
const COMPILER: string = 'assemblyscript/asc'

interface Asc {
  main(
    argv: readonly string[],
    options: {
      writeFile(name: string, contents: string | Uint8Array): void
      stderr: { write(text: string | Uint8Array): void }
    },
  ): Promise<{ error: Error | null }>
}

const FOLDER = join(import.meta.dirname, '..', 'kernel', 'simd')
const FLAGS = [
  ['-O3', '--runtime', 'stub', '--noAssert'],
  ['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
].flat()

/** Two builds of the same sources: with the relaxed integer dot product, and without it for engines that lack it. */
export const BUILDS = { 'kernels.wasm': 'simd,threads', 'kernels-relaxed.wasm': 'simd,threads,relaxed-simd' } as const

/** The bytes of one build. */
export async function compileKernels(name: keyof typeof BUILDS): Promise<Uint8Array> {
  const { default: asc } = (await import(COMPILER)) as { default: Asc }
  let binary: Uint8Array | undefined
  let said = ''
  const { error } = await asc.main(['assembly/index.ts', '--baseDir', FOLDER, ...FLAGS, '--enable', BUILDS[name], '--outFile', name], {
    writeFile(_file, contents) {
      if (typeof contents !== 'string') binary = contents
    },
    stderr: {
      write(text) {
        said += typeof text === 'string' ? text : Buffer.from(text).toString()
      },
    },
  })
  if (error || !binary) throw new Error(`${name}: ${said}`, { cause: error })
  return binary
}

/** Both builds, to where simd.ts reads them. */
export async function writeKernels(): Promise<void> {
  for (const name of Object.keys(BUILDS) as (keyof typeof BUILDS)[]) writeFileSync(join(FOLDER, name), await compileKernels(name))
}

if (import.meta.main) await writeKernels()
