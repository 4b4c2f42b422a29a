/** docs/troubleshooting.md quotes messages that the sources still say. A heading that is code is a message; … stands for what differs. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')

/** Texts that are written in pieces, one after the other, as one. */
const sources = ['ts', 'protocol', 'py/immiscible_worker']
  .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(ROOT, folder, file)))
  .filter((file) => /\.(ts|mjs|py)$/.test(file))
  .map((file) =>
    readFileSync(file, 'utf8')
      .replaceAll(/['"`]\s*\+?\s*\n\s*(?:\+\s*)?f?['"`]/g, '')
      .replaceAll("\\'", "'")
      .replaceAll('\\`', '`'),
  )

/** Each heading that begins as code: its messages, between `…` and `…`. */
function quotedMessages(markdown: string): string[] {
  return [...markdown.matchAll(/^### (`+)(.+)\1$/gm)].flatMap(([, ticks, heading]) => heading.split(`${ticks}, ${ticks}`))
}

function isSaid(message: string): boolean {
  const parts = message.split('…').filter((part) => /\w/.test(part))
  const escaped = parts.map((part) => part.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  const pattern = new RegExp(escaped.join(String.raw`[\s\S]{0,240}?`))
  return sources.some((source) => pattern.test(source))
}

const page = readFileSync(join(ROOT, 'docs', 'troubleshooting.md'), 'utf8')
const messages = quotedMessages(page)

test('the page quotes enough of each message to find it by', () => {
  expect(messages.length).toBeGreaterThan(40)
  expect(page.match(/^### .*`.*/gm)?.filter((heading) => quotedMessages(heading).length === 0)).toEqual([])
  expect(messages.filter((message) => message.replaceAll('…', '').trim().length < 10)).toEqual([])
})

test.each(messages)('%s', (message) => {
  expect(isSaid(message)).toBe(true)
})

test('control: a message with one word changed, or its parts in another order, is not found', () => {
  expect(isSaid('outputDir: … already holds a run; resume it, or choose another folder')).toBe(true)
  expect(isSaid('outputDir: … already holds a run; delete it, or choose another folder')).toBe(false)
  expect(isSaid('is in use by process … if that is gone, delete …')).toBe(true)
  expect(isSaid('if that is gone, delete … is in use by process …')).toBe(false)
})
