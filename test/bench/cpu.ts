/** The CPU that a figure was taken on, with the instruction sets that decide it. */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

export function describeCpu(): string {
  const model = cpus()[0]?.model ?? 'unknown CPU'
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8')
    const present = text.match(/^flags\s*:\s*(.*)$/m)?.[1]?.split(' ') ?? []
    return [model, ...['avx2', 'avx_vnni', 'avx512_vnni'].filter((flag) => present.includes(flag))].join(' ')
  } catch {
    return `${model} ${process.arch}`
  }
}
