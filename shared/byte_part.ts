/** Parts of byte strings, as copies: a view would keep the whole from being freed. */

/** Up to this size bytes are copied one by one, which beats a call into the runtime. */
const SHORT_BYTES_MAX = 32;

/** A copy of `size` bytes from `from` on, which must be there; a plain one also of a Buffer. */
export function copyPart(bytes: Uint8Array, from: number, size: number): Uint8Array {
  const part = new Uint8Array(size);
  if (size > SHORT_BYTES_MAX) part.set(bytes.subarray(from, from + size));
  else for (let index = 0; index < size; index++) part[index] = bytes[from + index] as number;
  return part;
}
