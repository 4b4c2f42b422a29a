/** CURVE key pairs as files, and who may connect: the format of ZeroMQ certificates, which czmq and pyzmq read and write as well. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import type { TrainConfig } from '../../protocol/index.ts'
import { ConfigError } from '../errors.ts'
import { newKeyPair, type Listening } from './channel.ts'

export interface KeyPairFiles {
  /** To be given to the other side. */
  readonly publicFile: string
  /** To be kept here. */
  readonly secretFile: string
}

const MAX_FILE_BYTES = 4096
/** Z85: 32 bytes in 40 characters, none of them a quote. */
const KEY = /^[\w.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/

/**
 * Makes a new key pair: NAME.key and NAME.key_secret, mode 0600, in a folder that is made where it is missing.
 * @throws ConfigError where a file is there already: a key pair is never overwritten.
 */
export function makeKeys(folder: string, name = 'immiscible'): KeyPairFiles {
  if (!/^[\w-][\w.-]*$/.test(name)) refuse('name', `expected letters, digits, '.', '_' and '-', got '${name}'`)
  const path = resolve(folder)
  const files = { publicFile: join(path, `${name}.key`), secretFile: join(path, `${name}.key_secret`) }
  const { publicKey, secretKey } = newKeyPair()
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    writeFileSync(files.secretFile, certificate('secret', [`public-key = "${publicKey}"`, `secret-key = "${secretKey}"`]), NEW)
    try {
      writeFileSync(files.publicFile, certificate('public', [`public-key = "${publicKey}"`]), NEW)
    } catch (error) {
      rmSync(files.secretFile) // half a pair is none
      throw error
    }
  } catch (cause) {
    refuse('name', `expected to make a new key pair '${name}' in ${path}: ${(cause as Error).message}`, cause)
  }
  return files
}

/** Reads every key that `worker.listen` names, and writes nothing. @throws ConfigError naming the field. */
export function readListening({ address, keyFile, clientKeys }: NonNullable<TrainConfig['worker']['listen']>): Listening {
  if (keyFile === null) return { address }
  const own = readSecretFile('worker.listen.keyFile', keyFile)
  const clients = new Map<string, string>()
  clientKeys.forEach((file, at) => {
    const field = `worker.listen.clientKeys[${at}]`
    const { publicKey, secretKey } = readCertificate(field, file)
    if (secretKey !== undefined)
      refuse(field, `expected a file with a public key, got ${file} with a secret one, which belongs to the client alone`)
    clients.set(publicKey, basename(file).replace(/\.key$/, ''))
  })
  return { address, curve: { ...own, clients } }
}

function readSecretFile(field: string, file: string): { publicKey: string; secretKey: string } {
  const { publicKey, secretKey } = readCertificate(field, file)
  if (secretKey === undefined) return refuse(field, `expected a key pair (NAME.key_secret), got ${file} without a secret key`)
  const mode = statSync(file).mode & 0o777
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    refuse(field, `expected a file that only its owner can read (chmod 600), got ${file} with mode ${mode.toString(8).padStart(4, '0')}`)
  }
  return { publicKey, secretKey }
}

function readCertificate(field: string, file: string): { publicKey: string; secretKey?: string } {
  let text: string
  try {
    const { size } = statSync(file)
    if (size > MAX_FILE_BYTES) refuse(field, `expected a key file of at most ${MAX_FILE_BYTES} bytes, got ${file} with ${size}`)
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    return refuse(field, `expected a key file from \`immiscible keys\`, got ${file}: ${(cause as Error).message}`, cause)
  }
  const valueOf = (name: string): string | undefined =>
    new RegExp(`^[ \\t]*${name}[ \\t]*=[ \\t]*"([^"\\n]*)"[ \\t]*\\r?$`, 'm').exec(text)?.[1]
  const [publicKey, secretKey] = [valueOf('public-key'), valueOf('secret-key')]
  // The keys themselves are never part of a message: one of them may be a secret.
  if (publicKey === undefined || !KEY.test(publicKey))
    return refuse(field, `expected public-key = "40 characters of Z85" in ${file}, got none`)
  if (secretKey !== undefined && !KEY.test(secretKey))
    return refuse(field, `expected secret-key = "40 characters of Z85" in ${file}, got another text`)
  return { publicKey, ...(secretKey !== undefined && { secretKey }) }
}

const NEW = { flag: 'wx', mode: 0o600 } as const

function certificate(kind: 'public' | 'secret', lines: readonly string[]): string {
  const advice = kind === 'public' ? 'give it to the other side' : 'keep it here, and give it to nobody'
  return `#   ZeroMQ CURVE ${kind} certificate, from \`immiscible keys\`: ${advice}.\n\nmetadata\ncurve\n${lines.map((line) => `    ${line}\n`).join('')}`
}

function refuse(path: string, message: string, cause?: unknown): never {
  throw new ConfigError([{ path, message }], { cause })
}
