/** Serving over TCP: who may listen where, who gets in, and keys as files. Loopback addresses only. */
import { execFile, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { makeKeys, serveBatches, trainImmiscible, type Serving } from '../../ts/index.ts'
import { pythonPath } from '../fixture/python.ts'
import { temporaryFolder, TINY } from './run.ts'

const PY = fileURLToPath(new URL('../../py', import.meta.url))
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

const CLIENT = `
import sys
from immiscible_worker import AssignedBatches
with AssignedBatches(sys.argv[1], timeout_seconds=float(sys.argv[2])) as batches:
    print(*(batch.step for batch in batches))
`

type Listen = NonNullable<NonNullable<Parameters<typeof serveBatches>[0]['worker']>['listen']>

function serve(listen: Listen): { serving: Serving; folder: string; log: string[] } {
  const folder = join(temporaryFolder(), 'served')
  const log: string[] = []
  const serving = serveBatches(
    { ...TINY, maxTrainSteps: 5, worker: { ...TINY.worker, listen }, outputDir: folder },
    { onLog: (line) => log.push(line) },
  )
  onTestFinished(async () => {
    serving.stop()
    await serving.catch(() => undefined)
  })
  return { serving, folder, log }
}

/** The real client: what it printed, and how it ended. */
async function client(folder: string, keyFile?: string, seconds = 20): Promise<{ code: number; out: string; errors: string }> {
  const env = { ...process.env, PYTHONPATH: PY, OMP_NUM_THREADS: '1', IMMISCIBLE_KEY_FILE: keyFile ?? '' }
  return promisify(execFile)(pythonPath(), ['-c', CLIENT, folder, String(seconds)], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout.trim(), errors: stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, out: error.stdout, errors: error.stderr }),
  )
}

test('over TCP a client whose key is on the list gets its batches, and one with another key nothing', { timeout: 60_000 }, async () => {
  const keys = temporaryFolder()
  const [server, host, stranger] = ['server', 'host', 'stranger'].map((name) => makeKeys(keys, name))
  const { serving, folder, log } = serve({ address: 'tcp://127.0.0.7:*', keyFile: server.secretFile, clientKeys: [host.publicFile] })
  await serving.folder
  const connection = JSON.parse(readFileSync(join(folder, 'serve.json'), 'utf8')) as Record<string, string>
  expect(connection['control']).toMatch(/^tcp:\/\/127\.0\.0\.7:\d+$/)
  const refused = await client(folder, stranger.secretFile)
  expect(refused.errors).toMatch(/the orchestrator refused this connection: is the key of this side on its list\?/)
  const strangersKey = /public-key = "(.*)"/.exec(readFileSync(stranger.publicFile, 'utf8'))?.[1] as string
  expect(log.join('\n')).toContain(`warning REFUSED_UNKNOWN_KEY: refused 1 so far, the last: 127.0.0.1 with the public key ${strangersKey}`)
  const welcome = await client(folder, host.secretFile)
  expect(welcome, welcome.errors).toMatchObject({ code: 0, out: '0 1 2 3 4' })
  const none = await client(folder)
  expect(none.errors).toMatch(/IMMISCIBLE_KEY_FILE is not set: this orchestrator asks for a key/)
  chmodSync(host.secretFile, 0o644)
  expect((await client(folder, host.secretFile)).errors).toMatch(/expected a key file that only its owner can read .*got mode 644/)
})

test('the command line makes keys and listens', { timeout: 60_000 }, async () => {
  const folder = temporaryFolder()
  const keys = join(folder, 'keys')
  const made = await promisify(execFile)(process.execPath, [CLI, 'keys', keys, '--name', 'server'])
  expect(made.stdout.trim().split('\n')).toEqual([join(keys, 'server.key'), join(keys, 'server.key_secret')])
  await promisify(execFile)(process.execPath, [CLI, 'keys', keys, '--name', 'gpu-1'])
  expect(statSync(keys).mode & 0o777).toBe(0o700)
  for (const file of ['server.key', 'server.key_secret', 'gpu-1.key', 'gpu-1.key_secret']) {
    expect(statSync(join(keys, file)).mode & 0o777).toBe(0o600)
  }
  const again = await promisify(execFile)(process.execPath, [CLI, 'keys', keys, '--name', 'gpu-1']).catch((error: unknown) => error)
  expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/name: expected to make a new key pair 'gpu-1'.*EEXIST/) as string })
  const flags = ['--dataset', 'digits', '--global-batch-size', '64', '--max-train-steps', '3', '--output-dir', join(folder, 'served')]
  const access = ['--listen', 'tcp://127.0.0.1:*', '--key-file', join(keys, 'server.key_secret'), '--client-key', join(keys, 'gpu-1.key')]
  const server = spawn(process.execPath, [CLI, 'serve', ...flags, ...access], { stdio: ['ignore', 'ignore', 'pipe'] })
  onTestFinished(() => void server.kill('SIGKILL'))
  const answer = await client(join(folder, 'served'), join(keys, 'gpu-1.key_secret'))
  expect(answer, answer.errors).toMatchObject({ code: 0, out: '0 1 2' })
})

test('a loopback address needs no keys, and its token still does its work', { timeout: 60_000 }, async () => {
  const { serving, folder } = serve({ address: 'tcp://127.0.0.1:*' })
  await serving.folder
  const answer = await client(folder)
  expect(answer, answer.errors).toMatchObject({ code: 0, out: '0 1 2 3 4' })
})

test('an address that others can reach is refused without keys and a list, before anything is written', async () => {
  const keys = temporaryFolder()
  const { publicFile, secretFile } = makeKeys(keys, 'a')
  const missing = join(keys, 'none.key')
  const cases: readonly [Listen, RegExp][] = [
    [{ address: 'tcp://0.0.0.0:5555' }, /worker\.listen\.keyFile: expected a key pair.*0\.0\.0\.0:5555 can be reached from other machines/],
    [{ address: 'tcp://*:5555' }, /worker\.listen\.keyFile: expected a key pair/],
    [{ address: 'tcp://10.1.2.3:5555', keyFile: secretFile }, /worker\.listen\.clientKeys: expected at least one public key/],
    [{ address: 'tcp://[::]:5555', clientKeys: [publicFile] }, /worker\.listen\.keyFile/],
    [{ address: 'tcp://128.0.0.1:5555' }, /worker\.listen\.keyFile/],
    [{ address: 'tcp://127.0.0.1.example.org:5555' }, /worker\.listen\.address: expected tcp:\/\/HOST:PORT/],
    [{ address: 'tcp://127.0.0.1:5555', keyFile: secretFile }, /worker\.listen\.clientKeys: expected at least one.*lets everybody in/],
    [{ address: 'tcp://127.0.0.1:70000' }, /worker\.listen\.address: expected a port from 1 to 65534/],
    [{ address: 'ipc:///tmp/x' }, /worker\.listen\.address: expected tcp/],
    [{ address: 'tcp://127.0.0.1:*', keyFile: publicFile, clientKeys: [publicFile] }, /worker\.listen\.keyFile: .*without a secret key/],
    [
      { address: 'tcp://127.0.0.1:*', keyFile: secretFile, clientKeys: [publicFile, secretFile] },
      /worker\.listen\.clientKeys\[1\]: .*secret one/,
    ],
    [{ address: 'tcp://127.0.0.1:*', keyFile: secretFile, clientKeys: [missing] }, /worker\.listen\.clientKeys\[0\]: .*ENOENT/],
  ]
  for (const [listen, message] of cases) {
    const { serving, folder } = serve(listen)
    await expect(serving).rejects.toMatchObject({ code: 'CONFIG', message: expect.stringMatching(message) as string })
    expect(existsSync(folder), JSON.stringify(listen)).toBe(false)
  }
  const open = join(keys, 'open.key_secret')
  copyFileSync(secretFile, open)
  chmodSync(open, 0o640)
  await expect(serve({ address: 'tcp://127.0.0.1:*', keyFile: open, clientKeys: [publicFile] }).serving).rejects.toThrow(/mode 0640/)
  writeFileSync(open, 'x'.repeat(5000))
  await expect(serve({ address: 'tcp://127.0.0.1:*', keyFile: open, clientKeys: [publicFile] }).serving).rejects.toThrow(
    /at most 4096 bytes/,
  )
})

test('an address that is taken, or not of this machine, is a config error', async () => {
  const { serving, folder } = serve({ address: 'tcp://127.0.0.1:*' })
  await serving.folder
  const { control } = JSON.parse(readFileSync(join(folder, 'serve.json'), 'utf8')) as { control: string }
  const second = serve({ address: control })
  await expect(second.serving).rejects.toThrow(/worker\.listen\.address: cannot listen on tcp:.*in use/)
  expect(existsSync(second.folder)).toBe(false)
})

test('a run of our own has no such door', async () => {
  const outputDir = join(temporaryFolder(), 'run')
  const run = trainImmiscible({ ...TINY, worker: { listen: { address: 'tcp://127.0.0.1:*' } }, outputDir })
  await expect(run).rejects.toThrow(/worker\.listen: expected nothing: a run starts its worker on this machine/)
  expect(existsSync(outputDir)).toBe(false)
})
