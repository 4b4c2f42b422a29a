/** What is used of the package, which brings no types. */
declare module '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs' {
  interface JPEGDecoder {
    /** Memory for the file. What it gives is good until the next call. */
    getEncodedBuffer(length: number): Uint8Array
    /** Throws a number, as `decode` does. */
    readHeader(): void
    decode(): void
    getDecodedBuffer(): Uint8Array
    getFrameInfo(): { readonly width: number; readonly height: number; readonly componentCount: number }
  }
  export interface Codec {
    readonly HEAPU8: Uint8Array
    readonly JPEGDecoder: new () => JPEGDecoder
  }
  export default function load(options?: { readonly printErr?: (line: string) => void }): Promise<Codec>
}
