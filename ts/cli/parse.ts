/** Flags from text: each parser throws what commander turns into one error that names the flag. */
import { InvalidArgumentError } from 'commander'

export function integer(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

/** Separated by commas. */
export function integers(text: string): number[] {
  return text.split(',').map((part) => integer(part.trim()))
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number')
  return value
}

export function oneOf(...names: readonly string[]): (text: string) => string {
  return (text) => {
    if (!names.includes(text)) throw new InvalidArgumentError(`expected one of ${names.join(', ')}`)
    return text
  }
}
