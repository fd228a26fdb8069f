/** Types of the parts of the package `seek-bzip` that this project uses; it has none of its own. */
declare module "seek-bzip" {
  /** Where compressed bytes come from; it throws at their end. */
  export interface BytesIn {
    readByte(): number;
    read(into: Uint8Array, at: number, length: number): number;
  }

  /** Where contents go. */
  export interface BytesOut {
    writeByte(byte: number): void;
  }

  /** A decoder of one bzip2 stream. */
  export interface Bunzip {
    /** Exclusive or of the blocks' CRCs so far, as the format combines them. */
    readonly streamCRC: number;
    readonly reader: { read(bitCount: number): number };
    /** Decodes the next block; false when there is none and the stream's CRC follows. */
    _init_block(): boolean;
    /** Gives out the contents of the block, throwing when its CRC is wrong. */
    _read_bunzip(): void;
  }

  /** What the package, which is CommonJS, exports as a whole. */
  export interface BunzipClass {
    /** Reads the header of the stream. */
    new (input: BytesIn, output: BytesOut): Bunzip;
  }
}
