/** What cannot be true of a worker that says hello, and text of workers that people get to read. */

import type { TryResult } from "../shared/task.ts";
import type { Hello, WorkerReport } from "./core/event.ts";

/** Far more than any host has; a worker that offers it would be given every task. */
const CORES_MAX = 65_536;
const BYTES_MAX = 2 ** 60;
const GPUS_MAX = 4_096;

const FEATURES_MAX = 1_000;
const CUSTOM_MAX = 1_000;
const URLS_MAX = 64;

/** Control characters, and those that turn or hide what stands beside them. */
const UNREADABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** The same but for line ends and tabs, for text of several lines. */
const UNREADABLE_IN_TEXT = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Why a hello is refused though its shape is right; undefined when it is not. */
export function helloFault(hello: Hello): string | undefined {
  const { resources: { cores, memoryBytes, diskBytes, gpus, custom = {} }, features, urls } = hello;
  if (cores <= 0 || cores > CORES_MAX) {
    return `Cannot take ${cores} as the cores of a worker: expected more than 0, to ${CORES_MAX}`;
  }
  if (memoryBytes > BYTES_MAX || diskBytes > BYTES_MAX) {
    const bytes = Math.max(memoryBytes, diskBytes);
    return `Cannot take ${bytes} as bytes of a worker: expected at most ${BYTES_MAX}`;
  }
  if (gpus > GPUS_MAX) {
    return `Cannot take ${gpus} as the GPUs of a worker: expected at most ${GPUS_MAX}`;
  }
  const customCount = Object.keys(custom).length;
  if (customCount > CUSTOM_MAX) {
    return `Cannot take ${customCount} resources of a worker: expected at most ${CUSTOM_MAX}`;
  }
  if (features.length > FEATURES_MAX) {
    return `Cannot take ${features.length} features of a worker: expected at most ${FEATURES_MAX}`;
  }
  if (urls.length > URLS_MAX) {
    return `Cannot take ${urls.length} addresses of a worker: expected at most ${URLS_MAX}`;
  }
  return nameFault(hello) ?? addressFault(urls) ?? repeatFault(hello);
}

/** `message` with what it says to people made fit for a terminal. */
export function readable(message: WorkerReport): WorkerReport {
  switch (message.kind) {
    case "result":
      return { ...message, result: readableResult(message.result) };
    case "results":
      return { ...message, results: message.results.map(readableResult) };
    case "transfer_failed":
    case "send_failed":
    case "instance_gone":
      return { ...message, message: readableText(message.message) };
    case "leaving":
      return { ...message, reason: readableText(message.reason) };
    default:
      return message;
  }
}

function readableResult(result: TryResult): TryResult {
  const { message, signal, mount } = result;
  // Of most there is nothing to read.
  if (message === "" && signal === undefined && mount === undefined) return result;
  return {
    ...result,
    message: readableText(message),
    ...(signal === undefined ? {} : { signal: readableText(signal) }),
    ...(mount === undefined ? {} : { mount: readableText(mount) }),
  };
}

/** Control characters may stand in no text that ends up on somebody's terminal. */
function readableText(text: string): string {
  return text.replace(UNREADABLE_IN_TEXT, "\ufffd");
}

function nameFault(hello: Hello): string | undefined {
  const { workerId, incarnation, version, host, features, resources: { custom = {} } } = hello;
  for (const name of [workerId, incarnation, version, host, ...features, ...Object.keys(custom)]) {
    if (UNREADABLE.test(name)) {
      return `Cannot take ${JSON.stringify(readableText(name))} as a name: it has characters ` +
        "that cannot be read";
    }
  }
  return undefined;
}

/** Peers are sent to these with tickets in their hands. */
function addressFault(urls: readonly string[]): string | undefined {
  for (const text of urls) {
    const url = URL.parse(text);
    const isBase = url !== null && ["http:", "https:"].includes(url.protocol) &&
      url.username === "" && url.password === "" && url.pathname === "/" && url.search === "" &&
      url.hash === "" && !UNREADABLE.test(text);
    if (isBase) continue;
    return `Cannot take ${
      JSON.stringify(readableText(text))
    } as an address of a worker: expected ` +
      "http://HOST:PORT or https://HOST:PORT";
  }
  return undefined;
}

function repeatFault({ replicas, tries, results }: Hello): string | undefined {
  const names = new Set(replicas.map(({ name }) => name));
  if (names.size < replicas.length) return "Cannot take one file twice in a hello";
  const keys = new Set([...tries, ...results].map((id) => `${id.taskId}.${id.try}`));
  if (keys.size < tries.length + results.length) return "Cannot take one try twice in a hello";
  return undefined;
}
