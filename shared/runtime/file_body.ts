/** Files as the bodies of requests, by what each runtime does best. */

/**
 * A body of the whole file, for a request. A Blob would be held in memory, all of it: by Deno
 * always, by Bun over TLS. On Deno, reading fails when the file has become shorter.
 */
export async function requestBody(path: string, sizeBytes: number): Promise<BodyInit> {
  if ("Bun" in globalThis) return Bun.file(path).stream();
  const file = await Deno.open(path, { read: true });
  let leftBytes = sizeBytes;
  return file.readable.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        const taken = chunk.subarray(0, leftBytes);
        leftBytes -= taken.length;
        if (taken.length > 0) controller.enqueue(taken);
        if (leftBytes === 0) controller.terminate();
      },
      flush(controller) {
        if (leftBytes > 0) controller.error(new RangeError(`File "${path}" has become shorter`));
      },
    }),
  );
}
