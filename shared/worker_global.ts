/** Names that code may use at a worker, which runs on Bun, without declaring them. */

/** Globals of ECMAScript, of the Web that Bun has, of Node.js, and Bun's own. */
export const WORKER_GLOBALS: ReadonlySet<string> = new Set(
  (
    "AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array " +
    "BigUint64Array Boolean DataView Date DisposableStack Error EvalError FinalizationRegistry " +
    "Float16Array Float32Array Float64Array Function Infinity Int16Array Int32Array Int8Array Intl " +
    "Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect " +
    "RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError " +
    "Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly " +
    "decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite " +
    "isNaN parseFloat parseInt undefined unescape " +
    "AbortController AbortSignal Blob BroadcastChannel ByteLengthQueuingStrategy " +
    "CompressionStream CountQueuingStrategy Crypto CryptoKey CustomEvent DOMException " +
    "DecompressionStream Event EventTarget File FormData Headers MessageChannel " +
    "MessageEvent MessagePort Performance ReadableStream Request Response SubtleCrypto " +
    "TextDecoder TextDecoderStream TextEncoder TextEncoderStream TransformStream URL " +
    "URLSearchParams WebSocket Worker WritableStream atob btoa clearInterval clearTimeout console " +
    "crypto fetch navigator performance queueMicrotask reportError setInterval setTimeout " +
    "structuredClone " +
    "Buffer clearImmediate global process setImmediate Bun"
  ).split(" "),
);
