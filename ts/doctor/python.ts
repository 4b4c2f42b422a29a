/** What Python would train, and what it says of itself: asked through the bridge that openPython() is. */
import { examineEnvironments, type Environment } from '../worker/environment.ts'
import { cacheFolder } from '../cache-folder.ts'
import { findBasePython, listDeviations, listMissing } from '../worker/python.ts'
import { readWorkerRequirements } from '../worker/requirements.ts'
import { openPython } from '../python/open.ts'
import { ok, problem, warning, type Check } from './check.ts'

export interface PythonFindings {
  readonly checks: readonly Check[]
  readonly environment: Environment | undefined
  /** Whether the first training installs an environment of our own. */
  readonly willInstall: boolean
}

/** py/immiscible_worker/describe.py */
interface Description {
  readonly python: string
  readonly version: string
  readonly packages: Readonly<Record<string, string | null>>
  readonly torch: {
    readonly version?: string
    readonly error?: string
    readonly device?: 'cuda' | 'mps' | 'cpu'
    readonly cuda?: string | null
    readonly gpus?: readonly { readonly name: string; readonly memoryBytes: number }[]
    readonly cpuCapability?: string
    readonly threads?: number
  }
  readonly nvidiaDriver: string | null
}

export async function checkPython(timeoutMs: number): Promise<PythonFindings> {
  const options = { probeTimeoutMs: timeoutMs }
  try {
    const { environment, passedOver } = await examineEnvironments(options)
    if (!environment) return { checks: [await checkBase(passedOver, timeoutMs)], environment, willInstall: true }
    const found = `${environment.python}: ${environment.reason}`
    return { checks: [ok('python', found), ...(await ask(environment.python, timeoutMs))], environment, willInstall: false }
  } catch (error) {
    // The one that IMMISCIBLE_PYTHON names: it is used or refused. The message ends with what can be done.
    const [found, advice = 'Name another Python by IMMISCIBLE_PYTHON'] = (error as Error).message.split(/\. (?=Either )/)
    const named = process.env['IMMISCIBLE_PYTHON']
    if (named === undefined || !found.includes(' without '))
      return { checks: [problem('python', found, advice)], environment: undefined, willInstall: false }
    const fix = 'Install what packages, below, says; or unset IMMISCIBLE_PYTHON to have an environment made.'
    return { checks: [problem('python', found, fix), ...(await ask(named, timeoutMs))], environment: undefined, willInstall: false }
  }
}

/** No environment yet: whether one can be made. */
async function checkBase(passedOver: readonly string[], timeoutMs: number): Promise<Check> {
  const { minPython } = readWorkerRequirements()
  const base = await findBasePython(minPython, timeoutMs)
  const passed = passedOver.length > 0 ? `; passed over ${passedOver.join('; ')}` : ''
  if ('tried' in base) {
    const fix = 'Install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python), or set IMMISCIBLE_PYTHON.'
    return problem('python', `no Python ${minPython.join('.')} or newer${passed}`, fix)
  }
  const version = base.version.join('.')
  if (!base.canMakeVenv) {
    const fix = `Install its venv module (Debian, Ubuntu: apt install python${base.version[0]}.${base.version[1]}-venv), or set IMMISCIBLE_PYTHON.`
    return problem('python', `${base.python} (${version}) cannot make virtual environments${passed}`, fix)
  }
  const found = `none with the packages yet; the first training makes one in ${cacheFolder()} with ${base.python} (${version})${passed}`
  return warning('python', found, 'Run immiscible setup to have it made now (about 1.5 GB, more with CUDA).')
}

async function ask(python: string, timeoutMs: number): Promise<Check[]> {
  const requirements = readWorkerRequirements().base
  const names = [...new Set(requirements.map(({ name }) => name))]
  try {
    await using bridge = await openPython({ python, startTimeoutMs: timeoutMs })
    // importing torch reads a gigabyte where the disk is cold
    const said = (await bridge.call('immiscible_worker.describe:describe', [names], { timeoutMs: 3 * timeoutMs })) as Description
    return [checkPackages(said), ...checkTorch(said)]
  } catch (error) {
    const fix = `Run ${python} -c "import torch" to see what it does, or name another by IMMISCIBLE_PYTHON.`
    return [problem('bridge', (error as Error).message, fix)]
  }
}

function checkPackages(said: Description): Check {
  const { base } = readWorkerRequirements()
  const missing = listMissing(said, base)
  if (missing.length > 0) {
    const texts = base.filter(({ name }) => missing.includes(name)).map(({ text }) => `"${text}"`)
    return problem('packages', `without ${missing.join(', ')}`, `Install them: ${said.python} -m pip install ${texts.join(' ')}`)
  }
  const deviations = listDeviations(said, base)
  const { torch, diffusers, accelerate } = said.packages
  const found = `Python ${said.version}, torch ${torch}, diffusers ${diffusers}, accelerate ${accelerate}`
  if (deviations.length === 0) return ok('packages', `${found}: ${Object.keys(said.packages).length} packages, all as tested`)
  const fix = 'Unset IMMISCIBLE_PYTHON (or leave that environment) to train with the versions that were tested.'
  return warning('packages', `${found}; in other versions: ${deviations.join(', ')}`, fix)
}

function checkTorch({ torch, nvidiaDriver, python }: Description): Check[] {
  if (torch.error !== undefined) {
    if (torch.error.startsWith('ModuleNotFoundError')) return [] // said by the packages
    return [
      problem(
        'device',
        `torch ${torch.version ?? ''}: ${torch.error}`.replace(' :', ':'),
        `Install torch again in ${python}, and see its message.`,
      ),
    ]
  }
  const { device, gpus = [], cuda, cpuCapability, threads } = torch
  const driver = nvidiaDriver === null ? 'no NVIDIA driver' : `NVIDIA driver ${nvidiaDriver}`
  const cudaFound = `torch is built for ${cuda == null ? 'the CPU alone' : `CUDA ${cuda}`}; ${driver}`
  const names = gpus.map(({ name, memoryBytes }) => `${name}, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB`)
  const deviceFound =
    device === 'cuda' ? `cuda: ${names.join('; ')}` : device === 'mps' ? 'mps: Apple GPU' : `cpu: ${cpuCapability}, ${threads} threads`
  const isGpuUnused = device === 'cpu' && nvidiaDriver !== null
  if (!isGpuUnused) return [ok('device', deviceFound), ok('cuda', cudaFound)]
  const fix =
    cuda == null
      ? `Install a torch for CUDA in ${python} (https://pytorch.org/get-started/locally), since this one is for the CPU.`
      : `Install an NVIDIA driver for CUDA ${cuda} or newer, and let this process see the GPU (CUDA_VISIBLE_DEVICES, docker run --gpus all).`
  return [warning('device', `${deviceFound}, though there is an NVIDIA GPU`, fix), ok('cuda', cudaFound)]
}
