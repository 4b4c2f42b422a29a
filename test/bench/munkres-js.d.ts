/** What the bench uses of munkres-js, which brings no types. */
declare module 'munkres-js' {
  export default function munkres(costs: number[][]): [row: number, column: number][]
}
