/** Files as the bodies of requests and responses, by what each runtime does best. */

/** Which bytes of which file. */
export interface FilePart {
  readonly path: string;
  readonly startByte: number;
  /** Exclusive. */
  readonly endByte: number;
}

/** A body of those bytes; on Deno, reading fails when the file has become shorter. */
export async function fileBody(part: FilePart): Promise<BodyInit> {
  const { path, startByte, endByte } = part;
  // Bun hands a file's body to the kernel (sendfile).
  if ("Bun" in globalThis) return Bun.file(path).slice(startByte, endByte);
  const file = await Deno.open(path, { read: true });
  if (startByte > 0) await file.seek(startByte, Deno.SeekMode.Start);
  let leftBytes = endByte - startByte;
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

/**
 * A body of the whole file, for a request. A Blob would be held in memory, all of it: by Deno
 * always, by Bun over TLS.
 */
export function requestBody(path: string, sizeBytes: number): Promise<BodyInit> {
  if ("Bun" in globalThis) return Promise.resolve(Bun.file(path).stream());
  return fileBody({ path, startByte: 0, endByte: sizeBytes });
}
