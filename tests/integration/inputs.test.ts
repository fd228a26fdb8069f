import { expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, linkSync, mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";

import { BINARY } from "../binary/built.ts";
import { Scratch } from "./scratch.ts";

/** `{input: how it is written to}`; `many` has more entries than are linked one by one. */
const CASES = {
  big: ["append", "chmod", "truncate", "covert"],
  tree: ["chmod", "covert"],
  many: ["chmod", "covert"],
  temp: ["append", "covert"],
} as const;

/** The user that owns nothing. */
const NOBODY = 65_534;
const BIG_BYTES = 10_000_000;
const SMALL = "0123456789";
const encoder = new TextEncoder();

/** Ways to write to the file `$f`, the last of which covers its tracks. */
const WRITES = {
  append: "echo x >> $f",
  chmod: "chmod u+w $f && echo x >> $f",
  truncate: "chmod u+w $f && : > $f",
  covert: "touch -r $f ref && chmod u+w $f && printf x | dd of=$f bs=1 seek=5 conv=notrunc && " +
    "chmod 0444 $f && touch -r ref $f",
};

/** Prints `{write: [outcome of the writer, what tasks beside and after it read]}` for one input. */
const WORKFLOW = `
import { Manager } from "tendril";
const writes: Record<string, string> = ${JSON.stringify(WRITES)};
const [kind = "", gates = "", ...names] = process.argv.slice(2);
await using manager = await Manager.start({ workers: { count: 1, cores: 2 } });
const made = manager.temp();
if (kind === "temp") {
  await manager.submit({
    command: "head -c ${BIG_BYTES} /dev/zero > big", outputs: { big: made },
  }).orThrow();
}
const input = kind === "temp" ? made : manager.file(kind);
const path = kind === "tree" ? "in/sub/f" : kind === "many" ? "in/7" : "in";
const inputs = { in: input };
const found: Record<string, unknown> = {};
for (const name of names) {
  const [begun, gate] = [gates + "/begun-" + name, gates + "/" + name];
  const wait = (file: string) => "while [ ! -e " + file + " ]; do sleep 0.02; done; ";
  const beside = manager.submit({
    command: "touch " + begun + "; " + wait(gate) + "sha256sum < " + path, inputs,
  });
  const writer = await manager.submit({
    command: wait(begun) + "f=" + path + "; " + writes[name] + "; code=$?; touch " + gate + "; exit $code",
    inputs,
  });
  const after = await manager.submit({ command: "sha256sum < " + path, inputs });
  const read = [await beside, after].map(({ outcome, stdout }) => outcome + " " + stdout.slice(0, 8));
  found[name] = [writer.outcome, ...read];
}
console.log(JSON.stringify(found));
`;

/** Where files can be cloned, a task has a file of its own and may do with it what it likes. */
function canReflink(scratch: Scratch): boolean {
  writeFileSync(scratch.path("from"), "x");
  const args = ["--reflink=always", scratch.path("from"), scratch.path("to")];
  return spawnSync("cp", args).status === 0;
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex").slice(0, 8);
}

const ARGS = ["run", "--quiet", "../workflow.ts"];

/** Runs the workflow on one input as `uid`, with a program that this user can reach. */
async function run(scratch: Scratch, kind: keyof typeof CASES, uid: number): Promise<unknown> {
  const home = scratch.path(`of-${uid}`);
  const gates = `${home}/gates-${kind}`;
  mkdirSync(gates, { recursive: true });
  for (const path of [scratch.folder, home, gates]) {
    chmodSync(path, 0o755);
    if (process.getuid?.() === 0) chownSync(path, uid, uid);
  }
  const child = spawn(scratch.path("tendril"), [...ARGS, kind, gates, ...CASES[kind]], {
    cwd: scratch.path("data"),
    env: { PATH: process.env["PATH"], HOME: home, TMPDIR: home },
    stdio: ["ignore", "pipe", "pipe"],
    ...(process.getuid?.() === 0 ? { uid, gid: uid } : {}),
  });
  const [stdout, stderr] = await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => {
      return (await Array.fromAsync(stream)).map(String).join("");
    }),
  );
  try {
    return JSON.parse(stdout!);
  } catch {
    throw new Error(`Cannot read what the workflow printed: ${stdout}${stderr}`);
  }
}

async function prepare(): Promise<Scratch> {
  const scratch = await Scratch.open();
  const data = scratch.path("data");
  for (const name of ["tree/sub", "many"]) mkdirSync(`${data}/${name}`, { recursive: true });
  const zeros = new Uint8Array(BIG_BYTES);
  writeFileSync(`${data}/big`, zeros);
  writeFileSync(`${data}/tree/sub/f`, zeros);
  // More entries than are linked one by one.
  for (let index = 0; index < 1_200; index++) writeFileSync(`${data}/many/${index}`, SMALL);
  writeFileSync(scratch.path("workflow.ts"), WORKFLOW);
  try {
    linkSync(BINARY, scratch.path("tendril"));
  } catch {
    // Another file system.
    copyFileSync(BINARY, scratch.path("tendril"));
  }
  chmodSync(scratch.path("tendril"), 0o755);
  return scratch;
}

const USERS = process.getuid?.() === 0 ? [0, NOBODY] : [process.getuid?.() ?? 0];

test.each(USERS)(
  "A task that writes to its input changes it for no other, as user %i",
  async (uid) => {
    await using scratch = await prepare();
    const isOwn = canReflink(scratch);
    const found: Record<string, unknown> = {};
    const wanted: Record<string, unknown> = {};
    for (const kind of Object.keys(CASES) as (keyof typeof CASES)[]) {
      found[kind] = await run(scratch, kind, uid);
      const bytes = kind === "many" ? encoder.encode(SMALL) : new Uint8Array(BIG_BYTES);
      const read = `success ${sha256(bytes)}`;
      const own = isOwn && kind !== "many" ? "success" : "input_modified";
      wanted[kind] = Object.fromEntries(CASES[kind].map((name) => {
        // Nothing but the owner's own change of mode lets anybody but root write.
        return [name, [name === "append" && uid !== 0 ? "exit" : own, read, read]];
      }));
    }
    expect(found).toEqual(wanted);
  },
  120_000,
);
