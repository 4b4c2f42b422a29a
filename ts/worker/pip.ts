/** pip, made readable: what it is doing in a few words, and what to do when it fails. */
import { tmpdir } from 'node:os'

/** One progress line out of many of pip's; undefined: not worth showing. */
export function summarisePipLine(line: string): string | undefined {
  const collecting = /^Collecting ([\w.-]+)==/.exec(line) ?? /^Processing \S*\/([\w.]+?)-\d/.exec(line)
  if (collecting) return `resolving ${collecting[1]}`
  const downloading = /^\s*Downloading (?:\S*\/)?([\w.]+?)-\d\S*\.(?:whl|tar\.gz) \(([\d.]+ [MG]B)\)/.exec(line)
  if (downloading) return `downloading ${downloading[1]} (${downloading[2]})`
  const installing = /^Installing collected packages: (.*)/.exec(line)
  if (installing) return `installing ${installing[1].split(',').length} packages`
  return undefined
}

export interface PipFailure {
  readonly output: string
  readonly folder: string
  readonly python: string
}

/** What went wrong and what to do, in this order of certainty. pip ends with "no matching distribution" also when the network is down. */
export function explainPipFailure({ output, folder, python }: PipFailure): string {
  const has = (pattern: RegExp): boolean => pattern.test(output)
  if (has(/No space left on device|Errno 28|ENOSPC|not enough space|Disk quota exceeded/i)) {
    return `The disk is full. ${describeRoom(folder)}`
  }
  if (has(/Permission denied|Read-only file system|Errno 13|Errno 30/i)) {
    return `No permission to write in ${folder}. Set IMMISCIBLE_HOME to a folder that you own.`
  }
  if (has(NETWORK)) {
    return (
      'The package index cannot be reached. Check the connection, or name a proxy or mirror that can be reached ' +
      '(HTTPS_PROXY, PIP_INDEX_URL), and start again: what was downloaded is kept.'
    )
  }
  const unavailable = /No matching distribution found for ([^\n]+)/.exec(output)
  if (unavailable) {
    return `The package index has no ${unavailable[1]} for ${python} on this machine. Another Python may have it: put it first on PATH, or set IMMISCIBLE_PYTHON.`
  }
  const lastLines = output.trim().split('\n').slice(-5)
  return ['pip said last:', ...lastLines.map((line) => `  ${line}`)].join('\n')
}

export function describeRoom(folder: string): string {
  return (
    `The Python environment takes about 1.5 GB in ${folder} (several more where torch comes with CUDA), and pip unpacks in ${tmpdir()} on the way. ` +
    'Make room, or move them with IMMISCIBLE_HOME and TMPDIR, and start again.'
  )
}

const NETWORK =
  /NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded|Failed to establish a new connection|name resolution|Name or service not known|nodename nor servname|Network is unreachable|No route to host|Connection refused|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|connection broken/i
