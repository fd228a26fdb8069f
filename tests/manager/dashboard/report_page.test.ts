import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";

import { expect, test } from "bun:test";

import { packReport } from "../../../manager/dashboard/report_contents.ts";
import {
  answerFromReport,
  openReport,
  type REPORT_VERSION,
  unpackReport,
} from "../../../manager/dashboard/report_data.ts";
import { reportPage } from "../../../manager/dashboard/report_page.ts";
import { fillSyntheticRun } from "../monitoring/synthetic_run.ts";

const PAGE = {
  html: '<!doctype html>\n<html><head>\n<link\n  rel="stylesheet" href="/assets/style.css">\n' +
    '<script type="module" src="/assets/page.js"></script></head><body></body></html>',
  // What HTML, or a replacement, would give a meaning.
  script: 'const a = "</script><!-- <script>$& \0";\r\nrun(a);',
  style: "body { color: red }",
};

test("reportPage() holds all in itself, and lets nothing else run", () => {
  const html = reportPage(PAGE, "UEFDS0VE");
  const policy = /content="([^"]+)"/.exec(html)![1]!;
  const scripts = [...html.matchAll(/<script type="module">([^]*?)<\/script>/g)];
  expect(scripts.length).toBe(1);
  const [, script] = scripts[0]!;
  const hash = createHash("sha256").update(script!).digest("base64");
  expect(policy).toContain(`script-src 'sha256-${hash}'`);
  expect(policy).toStartWith("default-src 'none'");
  expect(script).not.toMatch(/[\0\r]|<!--/);
  // Its text is what it was.
  const evaluated = new Function("run", script!);
  evaluated((text: string) => expect(text).toBe("</script><!-- <script>$& \0"));
  expect(html).not.toContain("/assets/");
  expect(html).toContain('<script type="text/plain" id="tendril-report">UEFDS0VE</script>');
});

test("reportPage() refuses a document that loads something else", () => {
  expect(() => reportPage({ ...PAGE, html: "<html><head></head></html>" }, "")).toThrow(
    "Cannot make a report of the page: it has no ",
  );
  expect(() => reportPage({ ...PAGE, style: "</style><script>" }, "")).toThrow("its style ends");
});

test("openReport() opens what packReport() made, and says what had no room", async () => {
  using db = new DatabaseSync(":memory:");
  fillSyntheticRun(db, { tasks: 300, workers: 5, seed: 2 });
  const packed = packReport(db, {
    tasksMax: 200,
    filesMax: 100,
    barsMax: 50,
    pointsMax: 20,
    transfersMax: 10,
    vinesMax: 1,
    detailCharsMax: 4_000,
  });
  const data = await openReport(`\n${packed}\n`);
  expect(data.answers.run.notes.map(({ text }) => text)).toEqual([
    "Host node9999 is blocked for 60 s: its worker failed three tasks in a row",
    "This report holds 200 of 300 tasks, those that failed first",
    expect.stringMatching(/^This report holds 100 of \d+ files$/),
  ]);
  const failed = db.prepare(
    "SELECT task_id FROM task_detail WHERE outcome NOT IN ('success', 'cancelled')",
  ).all() as { task_id: number }[];
  expect(failed.length).toBeGreaterThan(0);
  for (const { task_id: taskId } of failed) {
    expect(answerFromReport(data, { kind: "task", taskId })).not.toBeNull();
  }
  const last = data.tasks.at(-1)!;
  const part = answerFromReport(data, { kind: "task", taskId: last.taskId })!;
  expect(part).toMatchObject({ command: last.command, tries: [], isPartial: true });
  const worker = answerFromReport(data, { kind: "worker", workerId: "w-0005" })!;
  expect(worker).toMatchObject({ host: "node0003", cache: [], isPartial: true });
  const file = answerFromReport(data, { kind: "file", fileId: 99 })!;
  expect(file).toMatchObject({ holders: [], isPartial: true });
  const vine = answerFromReport(data, { kind: "vine", fileId: 2, transfersMax: 5 });
  expect(vine).toMatchObject({ edges: [], isCut: true });
});

test("unpackReport() refuses another version", () => {
  const other = { version: 99 as typeof REPORT_VERSION } as Parameters<typeof unpackReport>[0];
  expect(() => unpackReport(other)).toThrow(
    'Cannot open report of version "99" as one of version 1',
  );
});
