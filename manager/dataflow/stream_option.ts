/** Where what a call writes goes: options of apps, checked, and what they mean for one call. */

import process from "node:process";

import { resolve } from "@std/path";

import type { TaskId } from "../../shared/ids.ts";
import { flag, type Reader, readOptions, show } from "../option.ts";
import type { StreamName } from "./executor.ts";
import { File } from "./file.ts";
import type { NamedCall, OutputNaming } from "./output_name.ts";

/** Leaves the name of a file to the flow. */
export const AUTO: unique symbol = Symbol("AUTO");

/** A file to which something is written. */
export interface StreamPath {
  /** Relative to the working directory; folders are made. */
  readonly path: string;
  /** Behind what is there already; else that is replaced. Default false. */
  readonly append?: boolean;
}

/** Where a stream goes: a path, one that the flow names, or a file of any staging. */
export type StreamOption = string | StreamPath | File | typeof AUTO;

/** Where a stream of one call goes. */
export interface StreamPlace {
  readonly to: File;
  readonly isAppended: boolean;
  /** True where it was given as a path, or named by the flow. */
  readonly isPath: boolean;
}

/** `{stream: where it goes}` */
export type StreamPlaces = { readonly [Stream in StreamName]?: StreamPlace };

/** Checked options: `AUTO` has its place once there is a call. */
export type CheckedStreams = { readonly [Stream in StreamName]?: StreamPlace | typeof AUTO };

/** Checks where a stream goes. */
export const streamPlace: Reader<StreamPlace | typeof AUTO> = (value, what) => {
  if (value === AUTO) return AUTO;
  if (value instanceof File) {
    return { to: value, isAppended: false, isPath: false };
  }
  if (typeof value === "string" && value !== "") return placeOf(value, false);
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `Cannot take ${what} "${
        show(value)
      }" as a file: expected a path, { path, append }, a File or AUTO`,
    );
  }
  const { path, append = false } = readOptions<StreamPath>(value, what, {
    path: (given, name) => {
      if (typeof given === "string" && given !== "") return given;
      throw new TypeError(`Cannot take ${name} "${show(given)}" as a path`);
    },
    append: flag,
  });
  if (path === undefined) throw new TypeError(`Cannot take ${what} without a path`);
  return placeOf(path, append);
};

/** Where the streams of a call go; undefined where nothing was asked for. */
export function streamsOf(
  { streams, name: app, label }: {
    readonly streams: CheckedStreams | undefined;
    readonly name: string;
    readonly label: string | undefined;
  },
  id: TaskId,
  { naming, folder }: { readonly naming: OutputNaming; readonly folder: () => string },
): StreamPlaces | undefined {
  if (streams === undefined) return undefined;
  const call = (): NamedCall => ({ id, app, label, folder: folder() });
  const places: { -readonly [Stream in StreamName]?: StreamPlace } = {};
  for (const stream of ["stdout", "stderr"] as const) {
    const place = streams[stream];
    if (place === undefined) continue;
    places[stream] = place === AUTO ? placeOf(naming(call(), stream), false) : place;
  }
  return places;
}

/** Streams that go where the app says; those that the flow names are not among them. */
export function namedStreams(
  streams: CheckedStreams = {},
): (readonly [StreamName, StreamPlace])[] {
  return (["stdout", "stderr"] as const).flatMap((stream) => {
    const place = streams[stream];
    return place === undefined || place === AUTO ? [] : [[stream, place] as const];
  });
}

/** How it is told and shown. */
export function streamText({ to, isPath }: StreamPlace): string {
  return isPath ? to.path : to.toString();
}

function placeOf(path: string, isAppended: boolean): StreamPlace {
  // A path, whatever is in it.
  return { to: new File(resolve(process.cwd(), path)), isAppended, isPath: true };
}
