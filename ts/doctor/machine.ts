/** What training needs of the machine without Python: Node, disk, sockets, kernels. */
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { plainKernel } from '../kernel/plain.ts'
import { bestSimdBuild, createSimdKernel } from '../kernel/simd/simd.ts'
import { packageFolder } from '../worker/requirements.ts'
import { ok, problem, warning, type Check } from './check.ts'

const GIB = 2 ** 30
/** A managed environment without CUDA, and room to unpack. */
const INSTALLED_BYTES = 3 * GIB
const RUN_BYTES = GIB

export function checkNode(version = process.versions.node): Check {
  const { engines } = JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as { engines: { node: string } }
  const wanted = engines.node.replace('>=', '')
  const parts = (text: string): number[] => text.split('.').map(Number)
  const [[major, minor], [wantedMajor, wantedMinor]] = [parts(version), parts(wanted)]
  const found = `Node ${version}, ${process.platform} ${process.arch}`
  const isEnough = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
  return isEnough ? ok('node', found) : problem('node', found, `Install Node ${wanted} or newer (https://nodejs.org).`)
}

/** @param willInstall whether the Python environment is still to be made there. */
export function checkCache(folder: string, willInstall: boolean): Check {
  const report = willInstall ? problem : warning
  return checkFolder(
    'cache folder',
    folder,
    willInstall ? INSTALLED_BYTES : 0,
    report,
    'Set IMMISCIBLE_HOME to a folder that you own, on a disk with room.',
  )
}

export function checkWorkingFolder(folder = process.cwd()): Check {
  return checkFolder('working folder', folder, RUN_BYTES, warning, 'Make room, or name a folder on another disk by --output-dir.')
}

function checkFolder(name: string, folder: string, wantedBytes: number, report: typeof problem, fix: string): Check {
  const existing = nearestExisting(folder)
  try {
    if (!statSync(existing).isDirectory()) return report(name, `${folder}: ${existing} is no folder`, fix)
    accessSync(existing, constants.W_OK)
    const { bavail, bsize } = statfsSync(existing)
    const free = bavail * bsize
    const found = `${folder}: ${(free / GIB).toFixed(1)} GiB free`
    return free < wantedBytes
      ? report(name, `${found}, less than the ${(wantedBytes / GIB).toFixed(0)} GiB that may be needed`, fix)
      : ok(name, found)
  } catch (error) {
    return report(name, `${folder}: cannot be written to (${(error as NodeJS.ErrnoException).code})`, fix)
  }
}

function nearestExisting(folder: string): string {
  let path = resolve(folder)
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path)
  return path
}

/** The sockets that a run binds: ZeroMQ's native binding, and ipc in the system's temporary folder. */
export async function checkSockets(): Promise<Check> {
  try {
    const { openChannel } = await import('../worker/channel.ts')
    await using channel = await openChannel(1)
    return ok('sockets', `ZeroMQ binds ${channel.dataEndpoint.replace(/\/[^/]*\/data$/, '/…/data')}`)
  } catch (error) {
    const { message } = error as Error
    const fix = /native build|\.node|shared object/.test(message)
      ? 'Install zeromq for this platform again: npm rebuild zeromq.'
      : `Set TMPDIR to a folder that you own, with a short path (now ${tmpdir()}): the path of a socket has at most about 100 characters.`
    return problem('sockets', message.split('\n')[0], fix)
  }
}

/** What serve, view and a machine without ipc listen on. */
export async function checkLoopback(): Promise<Check> {
  const server = createServer()
  try {
    const port = await new Promise<number>((done, fail) => {
      server.once('error', fail)
      server.listen(0, '127.0.0.1', () => done((server.address() as { port: number }).port))
    })
    return ok('ports', `127.0.0.1 can be listened on (port ${port} was free)`)
  } catch (error) {
    return warning(
      'ports',
      `127.0.0.1 cannot be listened on: ${(error as Error).message}`,
      'Allow loopback connections in the firewall or sandbox.',
    )
  } finally {
    server.close()
  }
}

/** The WASM build that this engine takes, tried on a few numbers. */
export function checkKernels(): Check {
  try {
    const build = bestSimdBuild()
    const [keys, plain, simd] = [new BigUint64Array([1n, 2n]), new Float32Array(16), new Float32Array(16)]
    plainKernel.normal(0, 1, keys, 8, plain)
    createSimdKernel(build).normal(0, 1, keys, 8, simd)
    if (plain.some((value, at) => value !== simd[at])) throw new Error('its numbers are not those of plain TypeScript')
    return ok(
      'kernels',
      build === 'relaxed' ? 'WebAssembly, relaxed SIMD (the fastest build)' : 'WebAssembly SIMD; relaxed SIMD is not there',
    )
  } catch (error) {
    return problem(
      'kernels',
      `WebAssembly SIMD: ${(error as Error).message}`,
      'Install a Node of nodejs.org for this processor, with WebAssembly enabled.',
    )
  }
}
