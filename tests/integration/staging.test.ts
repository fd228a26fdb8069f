import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import {
  app,
  AppError,
  AUTO,
  DataFuture,
  File,
  type Flow,
  load,
  type PlacedFile,
  pythonApp,
  shellApp,
  type Staging,
} from "../../mod.ts";
import { localProcesses } from "../../manager/dataflow/local_processes.ts";
import { FtpServer } from "../ftp_server.ts";
import { serveDocument, someBytes, UrlServer } from "../url_server.ts";
import { Scratch } from "./scratch.ts";

const size = shellApp((file: File) => `wc -c < ${file}`, { name: "size" });
const count = shellApp((last: number) => `seq ${last} > out; echo said; echo complained >&2`, {
  name: "count",
  outputs: { out: "out" },
});

/** Why a call failed. */
async function failure(call: PromiseLike<unknown>): Promise<AppError["failure"]> {
  try {
    await call;
  } catch (error) {
    if (error instanceof AppError) return error.failure;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("stagings of a flow on a manager", () => {
  let scratch: Scratch;
  let flow: Flow;
  let web: UrlServer;
  let ftp: FtpServer;
  let refusalCount = 0;
  let stagedCount = 0;
  const stored = new Map<string, string>();
  const shelf: Staging = {
    name: "shelf",
    schemes: ["shelf"],
    canStageIn: ({ scheme }) => scheme === "shelf",
    canStageOut: ({ scheme }) => scheme === "shelf",
    stageIn: ({ name }, site) => {
      stagedCount += 1;
      return site.run(`echo ${name} > book`, { output: "book" });
    },
    async stageOut({ path }, made) {
      refusalCount -= 1;
      if (refusalCount >= 0) throw new Error("the shelf is full");
      stored.set(path, new TextDecoder().decode(await made.contents()));
    },
  };

  beforeAll(async () => {
    scratch = await Scratch.open();
    web = await UrlServer.open(async (request, response) => {
      const { method, url = "" } = request;
      if (url.startsWith("/missing")) return void response.writeHead(404).end("no such thing");
      if (method === "PUT") {
        let text = "";
        for await (const part of request) text += String(part);
        stored.set(url, text);
        return void response.writeHead(201).end();
      }
      serveDocument(request, response, { bytes: someBytes(1_000), etag: '"a"' });
    });
    ftp = await FtpServer.open({ files: { "pub/a.txt": someBytes(777) }, users: { ann: "right" } });
    flow = await load({ workers: 1, runDirectory: scratch.path("runs"), stagings: [shelf] });
  }, 30_000);

  afterAll(async () => {
    await flow.close();
    await web[Symbol.asyncDispose]();
    await ftp[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  }, 30_000);

  test("a url is fetched once by a worker, however many calls read it", async () => {
    const file = new File(web.url("/shared/data.bin"));
    const read = await Promise.all(Array.from({ length: 20 }, () => size(file)));
    expect(new Set(read.map(({ stdout }) => stdout.trim()))).toEqual(new Set(["1000"]));
    expect(web.lines().filter((line) => line.endsWith("/shared/data.bin")).length).toBe(1);
  });

  test("of mode inside each try fetches a url for itself", async () => {
    const file = new File(web.url("/own/data.bin"), { staging: "inside" });
    await Promise.all([size(file), size(file)]);
    await size.with({ staging: "inside" })(new File(web.url("/own/data.bin")));
    expect(web.lines().filter((line) => line.endsWith("/own/data.bin")).length).toBe(3);
  });

  test("a file that a server does not have fails the call, with what it said", async () => {
    const { kind, message } = await failure(size(new File(web.url("/missing"))));
    expect(kind).toBe("transfer_failed");
    expect(message).toContain("answered 404 Not Found: no such thing");
  });

  test("FTP is read and written by workers, and a wrong password is said", async () => {
    expect((await size(new File(ftp.url("pub/a.txt")))).stdout.trim()).toBe("777");
    await count.with({ outputs: { out: new File(ftp.url("up/out.txt", "ann:right@")) } })(3);
    expect(new TextDecoder().decode(ftp.files.get("up/out.txt"))).toBe("1\n2\n3\n");
    const wrong = await failure(size(new File(ftp.url("pub/a.txt", "ann:wrong@"))));
    expect(wrong.kind).toBe("transfer_failed");
    expect(wrong.message).toContain("answered 530");
    expect(wrong.message).not.toContain("ann:wrong");
  });

  test("a scheme that nobody takes is refused by the call, which names those that there are", () => {
    const schemes =
      'no staging of the flow takes scheme "s3", only file, ftp, http, https, shelf, zip';
    expect(() => size(new File("s3://bucket/key"))).toThrow(schemes);
    const out = { outputs: { out: new File("s3://bucket/key") } };
    expect(() => count.with(out)(1)).toThrow(schemes);
  });

  test("a file that is missing fails the call of a function as a value", async () => {
    const read = app((path: string) => path);
    expect((await failure(read(new File(scratch.path("nothing"))))).kind).toBe("input_missing");
    const member = new File(`zip:${scratch.path("nothing.zip")}/a`);
    expect((await failure(read(member))).kind).toBe("input_missing");
  });

  test("an output is at its path once the call is done, in folders that are made", async () => {
    const path = scratch.path("deep", "er", "out.txt");
    const call = count.with({ outputs: { out: new File(path) } })(2);
    expect(call.outputs.out.place?.path).toBe(path);
    await call;
    expect(readFileSync(path, "utf8")).toBe("1\n2\n");
    expect((await size(call.outputs.out)).stdout.trim()).toBe("4");
  });

  test("an output that cannot be written fails the call", async () => {
    writeFileSync(scratch.path("in-the-way"), "");
    const to = new File(scratch.path("in-the-way", "out.txt"));
    expect((await failure(count.with({ outputs: { out: to } })(2))).kind).toBe("transfer_failed");
    const put = new File(web.url("/missing/out"));
    expect((await failure(count.with({ outputs: { out: put } })(2))).message).toContain("404");
  });

  test("calls add members to one archive at the same time, and later ones read them", async () => {
    const archive = scratch.path("all.zip");
    const member = (n: number): File => new File(`zip:${archive}/in/${n}.txt`);
    const numbers = Array.from({ length: 8 }, (_, n) => n + 1);
    await Promise.all(numbers.map((n) => count.with({ outputs: { out: member(n) } })(n)));
    const code = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); " +
      "print(z.testzip(), len(z.namelist()))";
    expect(execFileSync("python3", ["-c", code, archive], { encoding: "utf8" })).toBe("None 8\n");
    expect((await size(member(5))).stdout.trim()).toBe("10");
  });

  test("an output that could not be brought is brought by the next try, without another run", async () => {
    refusalCount = 2;
    const marks = scratch.path("marks");
    const once = shellApp(() => `echo ran >> ${marks}; echo book > out`, {
      outputs: { out: { mount: "out", to: "shelf:/novel" } },
      retries: 2,
    });
    const call = once();
    await call;
    expect(call.tryCount).toBe(3);
    expect(stored.get("/novel")).toBe("book\n");
    expect(readFileSync(marks, "utf8")).toBe("ran\n");
    refusalCount = 5;
    const { kind, message } = await failure(once.with({ retries: 1 })());
    expect(kind).toBe("transfer_failed");
    expect(message).toBe('Cannot write "shelf:///novel": the shelf is full');
    refusalCount = 0;
  });

  test("a staging runs a command as a call of its own, once for all that read its file", async () => {
    const cat = shellApp((file: File) => `cat ${file}`);
    const book = new File("shelf:/poems");
    const read = await Promise.all([cat(book), cat(book)]);
    expect(read.map(({ stdout }) => stdout)).toEqual(["poems\n", "poems\n"]);
    expect(stagedCount).toBe(1);
  });

  test("all that a command writes goes to files, also of a try that failed", async () => {
    const noisy = shellApp((last: number) =>
      `seq ${last}; echo alas >&2; exit ${last > 9 ? 7 : 0}`
    );
    const [stdout, stderr] = [scratch.path("logs", "o"), scratch.path("logs", "e")];
    const good = noisy.with({ stdout, stderr })(3);
    expect(await good).toEqual({ exitCode: 0, stdout: "1\n2\n3\n", stderr: "alas\n" });
    expect([good.stdout, good.stderr]).toEqual([stdout, stderr]);
    expect([readFileSync(stdout, "utf8"), readFileSync(stderr, "utf8")]).toEqual([
      "1\n2\n3\n",
      "alas\n",
    ]);
    const bad = await failure(noisy.with({ stdout, stderr })(100_000));
    expect([bad.kind, bad.exitCode, bad.stderr]).toEqual(["exit", 7, "alas\n"]);
    expect(readFileSync(stdout, "utf8").length).toBe(588_895);
  });

  test("calls append to one file without mixing what each wrote", async () => {
    const path = scratch.path("appended");
    const lines = shellApp((n: number) => `for i in 1 2 3; do echo ${n}; sleep 0.01; done`, {
      stdout: { path, append: true },
    });
    await Promise.all([1, 2, 3].map((n) => lines(n)));
    const written = readFileSync(path, "utf8").match(/(\d)\n\1\n\1\n/g) ?? [];
    expect(written.toSorted()).toEqual(["1\n1\n1\n", "2\n2\n2\n", "3\n3\n3\n"]);
  });

  test("AUTO names files by call, app and label", async () => {
    const hello = shellApp(() => "echo hello", { name: "hello", label: "lane 3", stdout: AUTO });
    const call = hello();
    await call;
    expect(call.stdout).toMatch(/\/calls\/0000\/call_\d{4}_hello_lane-3\.stdout$/);
    expect(readFileSync(String(call.stdout), "utf8")).toBe("hello\n");
    expect(call.stderr).toBeUndefined();
  });

  test("a stream to a File is an output: other calls read it", async () => {
    const hello = shellApp(() => "echo hello", { stdout: new File("shelf:/greeting") });
    const call = hello();
    const { stdout } = call;
    if (!(stdout instanceof DataFuture)) throw new Error("it is no file");
    expect((await size(stdout)).stdout.trim()).toBe("6");
    expect(stored.get("/greeting")).toBe("hello\n");
    expect(await stdout.text()).toBe("hello\n");
  });

  test("what functions print goes to files, also of one that throws", async () => {
    const speak = app((word: string) => {
      process.stdout.write(`${word}\n`);
      if (word === "alas") throw new Error(word);
    });
    const path = scratch.path("spoken");
    await speak.with({ stdout: path })("hello");
    expect(readFileSync(path, "utf8")).toBe("hello\n");
    await failure(speak.with({ stdout: path })("alas"));
    expect(readFileSync(path, "utf8")).toBe("alas\n");
    const python = pythonApp(
      "import sys\ndef speak():\n    print('hiss', file=sys.stderr)\n",
      "speak",
    );
    await python.with({ stderr: path })();
    expect(readFileSync(path, "utf8")).toBe("hiss\n");
  });

  test("the path of a file among the arguments of a function ends with its name", async () => {
    const path = scratch.path("table 1.csv");
    writeFileSync(path, "a,b\n");
    const read = app(async (path: string) => {
      const { readFileSync } = await import("node:fs");
      return [path, readFileSync(path, "utf8")];
    });
    expect(await read(new File(path))).toEqual([
      expect.stringMatching(/^\/.*\/table_1\.csv$/),
      "a,b\n",
    ]);
    const code = "def read(path):\n    return [path, open(path).read()]\n";
    const python = pythonApp<string[]>(code, "read");
    const [found, contents] = await python(new File(path));
    expect(found).toMatch(/^\/.*\/table_1\.csv$/);
    expect(contents).toBe("a,b\n");
    const made = count.with({ outputs: { out: new File(scratch.path("made.txt")) } })(1);
    expect((await read(made.outputs.out))[0]).toEndWith("/made.txt");
    expect((await read(new File(web.url("/pages/data.bin"))))[0]).toEndWith("/data.bin");
  });

  test("functions find inputs under names of their own", async () => {
    writeFileSync(scratch.path("t1"), "a,b\n1,2\n");
    const inputs = { "tables/t.csv": scratch.path("t1") };
    const javascript = app(async () => {
      const { readFileSync } = await import("node:fs");
      return readFileSync("tables/t.csv", "utf8");
    });
    expect(await javascript.with({ inputs })()).toBe("a,b\n1,2\n");
    const code = "import csv\ndef rows():\n    return list(csv.reader(open('tables/t.csv')))\n";
    const python = pythonApp<string[][]>(code, "rows");
    expect(await python.with({ inputs })()).toEqual([["a", "b"], ["1", "2"]]);
    const made = count(3).outputs.out;
    expect(await javascript.with({ inputs: { "tables/t.csv": made } })()).toBe("1\n2\n3\n");
  });
});

test("local processes have outputs brought, and what commands write", async () => {
  await using scratch = await Scratch.open();
  await using _ = await load({ executors: [localProcesses()] });
  const archive = scratch.path("a.zip");
  const [stdout, stderr] = [scratch.path("logs", "o"), scratch.path("logs", "e")];
  const call = count.with({
    outputs: { out: new File(`zip:${archive}/out.txt`) },
    stdout,
    stderr: { path: stderr, append: true },
  })(3);
  expect(await call).toEqual({ exitCode: 0, stdout: "said\n", stderr: "complained\n" });
  expect(readFileSync(stdout, "utf8")).toBe("said\n");
  expect((await size(new File(`zip:${archive}/out.txt`))).stdout.trim()).toBe("6");
  expect(readFileSync(stderr, "utf8")).toBe("complained\n");
});

test("a flow whose executor has no manager fetches a url once, and removes it at the end", async () => {
  await using web = await UrlServer.open((request, response) => {
    serveDocument(request, response, { bytes: someBytes(100), etag: '"a"' });
  });
  const paths: string[] = [];
  const flow = await load({
    executors: [{
      label: "here",
      refusal: () => undefined,
      submit: ({ args }, onEnd) => {
        const [file] = args as readonly [PlacedFile];
        if (file.placement.kind === "path") paths.push(file.placement.path);
        queueMicrotask(() => onEnd({ kind: "failed", failure: { kind: "exit", message: "no" } }));
        return { cancel: () => {} };
      },
      close: () => Promise.resolve(),
    }],
  });
  const read = app((path: string) => path);
  const shared = new File(web.url());
  await failure(read(shared));
  await failure(read(shared));
  await failure(read(new File(web.url(), { staging: "inside" })));
  expect(web.lines()).toEqual(["GET /data", "GET /data"]);
  expect(paths[0]).toBe(paths[1]!);
  expect(existsSync(paths[0]!)).toBe(true);
  await flow.close();
  expect(paths.map((path) => existsSync(path))).toEqual([false, false, false]);
});
