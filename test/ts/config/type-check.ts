/** tsc over config files as in a project that has the package installed. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..', '..')

/** What tsc says of the TypeScript files of a folder, a line each; empty where they are right. */
export function typeCheck(folder: string): string[] {
  const compilerOptions = {
    noEmit: true,
    rootDir: '/',
    paths: { immiscible: [join(ROOT, 'ts', 'index.ts')] },
    typeRoots: [join(ROOT, 'node_modules', '@types')],
  }
  const config = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions,
    include: ['*.ts', join(ROOT, 'ts', 'kernel', 'simd', 'wasm.d.ts')],
    exclude: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
  const { stdout, error } = spawnSync(tsc, ['-p', folder, '--pretty', 'false'], { encoding: 'utf8', cwd: folder })
  if (error) throw error
  return stdout.split('\n').filter((line) => line.includes('error TS'))
}
