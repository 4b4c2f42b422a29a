/** The part of WebAssembly that is used here: Node has it, and declares it only together with a browser's whole DOM. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: true })
    readonly buffer: SharedArrayBuffer
    /** @returns the size before, in pages of 64 KiB. */
    grow(pages: number): number
  }
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module'
  }
  const Module: new (bytes: Uint8Array) => Module
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, Memory | (() => never)>>)
    readonly exports: object
  }
  function validate(bytes: Uint8Array): boolean
}
