/** Archives made field by field: what no honest writer writes. */

/** Fields of one header; what is left out is that of an empty file. */
export interface RawEntry {
  readonly name?: string | Uint8Array;
  readonly type?: string;
  readonly link?: string;
  /** Taken from `data` unless given. */
  readonly size?: number | string | Uint8Array;
  readonly mode?: string;
  readonly mtime?: string | Uint8Array;
  readonly prefix?: string;
  readonly magic?: string;
  readonly data?: string | Uint8Array;
}

const encoder = new TextEncoder();

/** Returns the archive of `entries`, with its end. */
export function rawTar(...entries: RawEntry[]): Uint8Array {
  return joinBytes([...entries.map(rawEntry), new Uint8Array(1024)]);
}

/** Returns the blocks of one entry. */
export function rawEntry(entry: RawEntry): Uint8Array {
  const data = bytesOf(entry.data ?? "");
  const block = new Uint8Array(512 + Math.ceil(data.length / 512) * 512);
  block.set(bytesOf(entry.name ?? "file").subarray(0, 100), 0);
  block.set(bytesOf(entry.mode ?? "0000644"), 100);
  block.set(bytesOf("0000000"), 108);
  block.set(bytesOf("0000000"), 116);
  const size = entry.size ?? data.length;
  block.set(bytesOf(typeof size === "number" ? size.toString(8).padStart(11, "0") : size), 124);
  block.set(bytesOf(entry.mtime ?? "14524770400"), 136);
  block.set(bytesOf(entry.type ?? "0"), 156);
  block.set(bytesOf(entry.link ?? "").subarray(0, 100), 157);
  block.set(bytesOf(entry.magic ?? "ustar\x0000"), 257);
  block.set(bytesOf(entry.prefix ?? ""), 345);
  fixChecksum(block, 0);
  block.set(data, 512);
  return block;
}

/** Makes the checksum of the header at `at` right again. */
export function fixChecksum(bytes: Uint8Array, at: number): void {
  bytes.fill(0x20, at + 148, at + 156);
  let sum = 0;
  for (const byte of bytes.subarray(at, at + 512)) sum += byte;
  bytes.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
}

/** Returns a pax header for the entry after it. */
export function paxEntry(records: Readonly<Record<string, string>>, type = "x"): RawEntry {
  let data = "";
  for (const [key, value] of Object.entries(records)) {
    const rest = encoder.encode(` ${key}=${value}\n`).length;
    let length = rest + 1;
    while (String(length).length + rest !== length) length = String(length).length + rest;
    data += `${length} ${key}=${value}\n`;
  }
  return { name: "pax", type, data };
}

/** Returns the bytes of an archive in pieces of `pieceBytes`. */
export async function* inPieces(
  bytes: Uint8Array,
  pieceBytes = 65_536,
): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.slice(at, at + pieceBytes);
}

/** Returns all parts as one array. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? encoder.encode(text) : text;
}
