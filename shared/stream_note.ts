/** The line that stands in for the beginning of a long output of which only the end is kept. */

const NOTE = /^\[tendril: (\d+) bytes were written, here are the last (\d+)\]\n/;

/** Longer than any note. */
const NOTE_BYTES_MAX = 128;

/** Says how much was written, before the `keptBytes` that are left of it. */
export function truncationNote(sizeBytes: number, keptBytes: number): string {
  return `[tendril: ${sizeBytes} bytes were written, here are the last ${keptBytes}]\n`;
}

/** What is kept of an output, without the note, and from which byte on that is. */
export function readKept(
  output: Uint8Array,
): { readonly fromByte: number; readonly bytes: Uint8Array } {
  // All of a note is ASCII, so that characters are bytes.
  const begin = new TextDecoder("latin1").decode(output.subarray(0, NOTE_BYTES_MAX));
  const [note, size, kept] = NOTE.exec(begin) ?? [];
  const bytes = output.subarray(note?.length ?? 0);
  // A task may print such a line as well.
  if (note === undefined || bytes.length !== Number(kept)) return { fromByte: 0, bytes: output };
  return { fromByte: Number(size) - bytes.length, bytes };
}
