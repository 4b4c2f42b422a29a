/** What decoding altered, counted: nothing of it is silent. */

/** After the number and `image` or `images`. */
const TEXTS = {
  alpha: 'with alpha blended on white',
  gray: 'in gray became three equal channels',
  colour: 'in colour became gray',
  deep: 'of 16 bits cut to the high 8',
  cmyk: 'in CMYK converted to RGB',
  profile: 'with a colour profile, which is not applied',
  turned: 'turned by their EXIF orientation',
  enlarged: 'enlarged',
} as const

export type Altered = keyof typeof TEXTS

export function createNotes(): { count(altered: Altered): void; list(): string[] } {
  const counts = new Map<Altered, number>()
  return {
    count: (altered) => void counts.set(altered, (counts.get(altered) ?? 0) + 1),
    list: () =>
      (Object.keys(TEXTS) as Altered[])
        .filter((altered) => counts.has(altered))
        .map((altered) => `${counts.get(altered)} ${counts.get(altered) === 1 ? 'image' : 'images'} ${TEXTS[altered]}`),
  }
}
