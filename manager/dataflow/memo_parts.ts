/** Of what the key of a call is made: all that its result may depend on, by content. */

import { createHash } from "node:crypto";

import type { Reference } from "../../shared/canonical_cbor.ts";
import { functionsModule } from "../../shared/function_source.ts";
import { FileHandle } from "../file_handle.ts";
import { findPython } from "../python_module.ts";
import type { CallRecord } from "./call.ts";
import { outputOf, valueOf } from "./call.ts";
import { type FileSource, type MadeCommand, makeCommand, sourceOf } from "./command.ts";
import type { DependencyResolver } from "./dependency.ts";
import type { AppBody, AppTarget } from "./executor.ts";
import { type FileDigests, referenceOfFile } from "./file_digest.ts";
import { File, zipPlaceOf } from "./file.ts";
import { AppFuture, callOf, DataFile } from "./future.ts";
import { mapLeaves } from "./leaves.ts";
import { bundleOf } from "./local_code.ts";
import type { MemoCode, MemoParts } from "./memo_key.ts";
import { type MadeFacts, PlacedFile } from "./placed_file.ts";
import { readArguments } from "./prepare.ts";
import type { Recipe } from "./recipe.ts";
import { StoredValue } from "./stored_value.ts";
import { namedStreams } from "./stream_option.ts";
import { urlVersion } from "./url_version.ts";

/** What parts are found with. */
export interface MemoPartsOptions {
  readonly resolver: DependencyResolver;
  readonly digests: FileDigests;
}

/** What stands in arguments for something else; large values in files are still to be read. */
interface FoundReferences {
  readonly references: Map<object, Reference>;
  /** `[value, path of its file]` */
  readonly values: [StoredValue, string][];
}

/** Finds the parts of keys; code is looked at once for each app. */
export class MemoPartFinder {
  readonly #options: MemoPartsOptions;
  readonly #codes: WeakMap<AppBody, Promise<MemoCode>> = new WeakMap();
  readonly #urls: Map<string, Promise<string>> = new Map();

  /** `{value or file: what tells it from others}` */
  readonly #onlyOnes: WeakMap<object, string> = new WeakMap();

  constructor(options: MemoPartsOptions) {
    this.#options = options;
  }

  /**
   * The parts of a call whose dependencies are there.
   *
   * @throws {TypeError} When there is something that has no key.
   */
  async find(call: CallRecord): Promise<MemoParts> {
    const { recipe } = call;
    const { target, name: app, memoize, inputs: named = {} } = recipe;
    if (target === undefined) throw new TypeError(`Cannot remember a call of join "${app}"`);
    const common = {
      app,
      outputs: Object.fromEntries(
        Object.entries(recipe.outputs).map(([name, { mount, to }]) => [name, [mount, to?.url]]),
      ),
      options: { streams: streamsThatCount(recipe) },
      environment: await Promise.all(target.environments.map((one) => this.#environment(app, one))),
      env: target.process.env ?? {},
      ...(typeof memoize === "object" && memoize.ignore ? { ignore: memoize.ignore } : {}),
    };
    const hasOwnKey = typeof memoize === "object" && memoize.key !== undefined;
    if (recipe.kind === "command" && !hasOwnKey) {
      const { command, sources } = await this.#command(call);
      const inputs = await this.#inputs([...Object.entries(named), ...sources]);
      return { ...common, code: { kind: "command", command }, args: [], inputs };
    }
    const code: MemoCode = recipe.kind === "command"
      ? { kind: "command", command: `made by ${String(recipe.fn)}` }
      : await this.#code(target.body, app);
    const inputs = await this.#inputs(Object.entries(named));
    if (hasOwnKey) {
      return { ...common, code, inputs, args: await readArguments(call, this.#options) };
    }
    return { ...common, code, inputs, ...await this.#arguments(call) };
  }

  /** The command of a call; where arguments make no difference, what it is without them. */
  async #command(call: CallRecord): Promise<MadeCommand> {
    const { recipe: { memoize, name }, args } = call;
    const { resolver } = this.#options;
    const ignore = typeof memoize === "object" ? memoize.ignore ?? [] : [];
    if (!args.some((_, index) => ignore.includes(index))) {
      return call.command ??= await makeCommand(call, resolver);
    }
    const left = args.map((arg, index) => ignore.includes(index) ? undefined : arg);
    try {
      return await makeCommand({ ...call, args: left }, resolver);
    } catch (cause) {
      const found = cause instanceof Error ? cause.message : String(cause);
      throw new TypeError(
        `Cannot remember a call of "${name}" whatever argument ${ignore.join(", ")} is: without ` +
          `it its function fails: ${found}; state a key`,
        { cause },
      );
    }
  }

  async #inputs(
    sources: readonly (readonly [string, FileSource])[],
  ): Promise<{ readonly [mount: string]: Reference }> {
    const references = await Promise.all(
      sources.map(async ([mount, file]) => [mount, await this.#source(file)] as const),
    );
    return Object.fromEntries(references);
  }

  /** Arguments, and what stands in them for others' values and for files. */
  async #arguments(
    call: CallRecord,
  ): Promise<{
    readonly args: readonly unknown[];
    readonly references: ReadonlyMap<object, Reference>;
  }> {
    const references = new Map<object, Reference>();
    const files: [object, FileSource][] = [];
    const values: [StoredValue, string][] = [];
    const look = (found: object): unknown => {
      if (found instanceof StoredValue) return this.#stored(found, { references, values }, look);
      const source = sourceOf(found);
      if (source === undefined) return found;
      files.push([found, source]);
      return found;
    };
    const args = this.#options.resolver.map(call.args, (found) => {
      if (found instanceof AppFuture) return look(valueOf(callOf(found)));
      if (call.promised?.values.has(found) !== true) return look(found);
      return mapLeaves(call.promised.values.get(found), look);
    }) as readonly unknown[];
    await Promise.all(
      files.map(async ([found, source]) => references.set(found, await this.#source(source))),
    );
    await Promise.all(values.map(async ([value, path]) => {
      const { sha256 } = await this.#options.digests.digest(path);
      references.set(value, { kind: "content", content: "value", sha256 });
    }));
    return { args, references };
  }

  #stored(
    value: StoredValue,
    { references, values: files }: FoundReferences,
    look: (found: object) => unknown,
  ): unknown {
    const { content, bytes, fileDigest: sha256 } = value;
    if (content.kind === "plain") return content.value;
    if (content.kind === "structure") return mapLeaves(content.value, look);
    if (bytes !== undefined) references.set(value, { kind: "encoded", bytes });
    else if (sha256 !== undefined) {
      references.set(value, { kind: "content", content: "value", sha256 });
    } else if (content.kind === "file") files.push([value, content.path]);
    else references.set(value, this.#onlyOne(value));
    return value;
  }

  async #source(source: FileSource): Promise<Reference> {
    if (source instanceof FileHandle) return referenceOfHandle(source);
    if (source instanceof PlacedFile) return await this.#placed(source);
    if (source instanceof DataFile) return await this.#source(source.future);
    if (source instanceof File) return await this.#file(source);
    return await this.#placed(outputOf(callOf(source.parent), source.output));
  }

  async #placed(file: PlacedFile): Promise<Reference> {
    const { placement, facts } = file;
    if (facts !== undefined && facts.digest !== "") return referenceOfFacts(facts);
    if (placement.kind === "path") {
      return referenceOfFile(await this.#options.digests.digest(placement.path));
    }
    const known = placement.handle.facts;
    return known?.digest ? referenceOfFacts(known) : this.#onlyOne(file);
  }

  /** What was made in this run, and of which no worker has told the digest: it is like nothing else. */
  #onlyOne(made: object): Reference {
    const sha256 = this.#onlyOnes.get(made) ?? sha256Of(crypto.randomUUID());
    this.#onlyOnes.set(made, sha256);
    return { kind: "content", content: "only one", sha256 };
  }

  async #file(file: File): Promise<Reference> {
    if (file.scheme === "file") {
      return referenceOfFile(await this.#options.digests.digest(file.path));
    }
    if (file.scheme === "zip") {
      const { archive, member } = zipPlaceOf(file);
      const { sha256 } = await this.#options.digests.digest(archive);
      return { kind: "content", content: "zip member", sha256: sha256Of(`${sha256} ${member}`) };
    }
    const sha256 = await once(this.#urls, file.url, () => urlVersion(file.url));
    return { kind: "content", content: "url", sha256 };
  }

  async #environment(app: string, given: AppTarget["environments"][number]): Promise<Reference> {
    if (given instanceof FileHandle) {
      throw new TypeError(
        `Cannot remember calls of "${app}": its environment is a handle of the manager; ` +
          "name the archive by its path",
      );
    }
    return await this.#file(given instanceof File ? given : new File(given));
  }

  #code(body: AppBody, app: string): Promise<MemoCode> {
    return once(this.#codes, body, () => this.#findCode(body, app));
  }

  async #findCode(body: AppBody, app: string): Promise<MemoCode> {
    if (body.kind === "command") throw new TypeError(`Cannot find the code of command "${app}"`);
    const { kind, function: name } = body;
    if (body.kind === "python") {
      const module = findPython(body.module, { from: body.from, library: app });
      const sha256 = module.kind === "text"
        ? sha256Of(module.text)
        : (await this.#options.digests.digest(module.path)).sha256;
      return { kind, name, sha256 };
    }
    if (body.code === "value") {
      return { kind, name, sha256: sha256Of(functionsModule({ [name]: body.fn }, body.context)) };
    }
    const { sha256 } = await bundleOf(body);
    return { kind, name, sha256 };
  }
}

/** What is found out once; another time if that failed. */
function once<Key, Value>(
  known: {
    get(key: Key): Promise<Value> | undefined;
    set(key: Key, value: Promise<Value>): unknown;
    delete(key: Key): boolean;
  },
  key: Key,
  find: () => Promise<Value>,
): Promise<Value> {
  const before = known.get(key);
  if (before !== undefined) return before;
  const found = find();
  known.set(key, found);
  found.catch(() => known.delete(key));
  return found;
}

/** Streams by their places: those that the flow names make no difference. */
function streamsThatCount({ streams }: Recipe): unknown {
  return namedStreams(streams).map(([stream, { to, isAppended }]) => [stream, to.url, isAppended]);
}

/** What a file of the manager holds, by its digest or a name that says it. */
function referenceOfHandle({ facts, kind }: FileHandle): Reference {
  if (facts !== undefined && facts.digest !== "") return referenceOfFacts(facts);
  throw new TypeError(
    `Cannot remember a call with a ${kind} file of the manager whose contents are not known here: ` +
      "give it as new File(…)",
  );
}

function referenceOfFacts(facts: MadeFacts): Reference {
  const { digest: sha256, isDirectory, isExecutable, isStream } = facts;
  if (isStream === true) return { kind: "content", content: "directory stream", sha256 };
  const kind = isDirectory ? "directory" : isExecutable ? "executable" : "file";
  return referenceOfFile({ kind, sha256 });
}

function sha256Of(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
