/**
 * Page of one file: where it is and was, who makes and reads it, and how it spread.
 *
 * @module
 */

import type { ComponentChildren, JSX } from "preact";

import type { FileDetail } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { fileName, kindWords, LEVEL_WORDS } from "./file_table.tsx";
import { bytes, count, instant, plural, shorten, UNKNOWN } from "./format.ts";
import { Facts, PageHead, Partial, Problem } from "./layout.tsx";
import { hrefOf } from "./route.ts";
import { nowOf, useRun } from "./run.ts";
import { TransferTable } from "./transfer_table.tsx";
import { VineOf } from "./vine.tsx";
import { WorkerLink } from "./worker_link.tsx";

/** Numbers of tasks that read it, shown. */
const CONSUMERS_SHOWN = 60;

/** Longest name in a title. */
const TITLE_LENGTH = 70;

/** Page of one file. */
export function File({ id }: { readonly id: number }): JSX.Element {
  const isNumber = Number.isSafeInteger(id) && id >= 0;
  const { value, error } = useAnswer(isNumber ? { kind: "file", fileId: id } : undefined);
  const nowMs = nowOf(useRun());
  if (!isNumber || value === null) return <Problem text={`There is no file ${id} in this run`} />;
  if (error !== undefined && value === undefined) return <Problem text={error} />;
  if (value === undefined) return <PageHead title={`File ${id}`} />;
  return (
    <>
      <PageHead
        title={
          <>
            <span class="soft">File {value.fileId}</span> {shorten(fileName(value), TITLE_LENGTH)}
          </>
        }
      />
      {value.isPartial && <Partial />}
      <div class="grid">
        <About file={value} />
        <Holders file={value} nowMs={nowMs} />
      </div>
      {value.transfers > 0 && (
        <section class="file-vine" aria-label="How it spread">
          <h2>How it spread</h2>
          <VineOf fileId={value.fileId} />
        </section>
      )}
      <section class="card">
        <h2>Transfers: {count(value.transfers)}</h2>
        {value.history.length === 0
          ? <p class="soft">It has not been moved.</p>
          : <TransferTable rows={value.history} isOneFile nowMs={nowMs} />}
        {value.history.length < value.transfers && (
          <p class="soft">The first {count(value.history.length)} are shown.</p>
        )}
      </section>
    </>
  );
}

function About({ file }: { readonly file: FileDetail }): JSX.Element {
  const readers = file.consumers.slice(0, CONSUMERS_SHOWN);
  return (
    <section class="card">
      <h2>About</h2>
      <Facts
        rows={[
          ["Kind", kindWords(file.kind)],
          ["Source", file.source ?? UNKNOWN],
          ["Cache name", codeOf(file.cacheName)],
          ["Size", bytes(file.sizeBytes)],
          ["Level", `${file.level}: ${LEVEL_WORDS[file.level] ?? ""}`],
          ["Moved", `${bytes(file.movedBytes)} in ${plural(file.transfers, "transfer")}`],
          ["Declared", instant(file.declaredAtMs)],
          ["Made by", file.producerTaskId === null ? "no task" : taskLink(file.producerTaskId)],
          [
            "Read by",
            file.consumers.length === 0 ? "no task" : (
              <>
                {plural(file.consumers.length, "task")}:{" "}
                {readers.map((taskId) => <span key={taskId}>{taskLink(taskId)}&#32;</span>)}
                {file.consumers.length > readers.length && "…"}
              </>
            ),
          ],
          ...(file.isNondeterministic
            ? [["Content", "differs each time that it is made"] as const]
            : []),
          ...(file.isForgotten ? [["State", "forgotten: no task can use it"] as const] : []),
        ]}
      />
    </section>
  );
}

function codeOf(text: string | null): ComponentChildren {
  return text === null ? UNKNOWN : <code>{text}</code>;
}

function taskLink(taskId: number): JSX.Element {
  return <a href={hrefOf("tasks", taskId)}>{taskId}</a>;
}

function Holders(
  { file, nowMs }: { readonly file: FileDetail; readonly nowMs: number | undefined },
): JSX.Element {
  return (
    <section class="card">
      <h2>At {plural(file.replicas, "worker")}</h2>
      {file.holders.length === 0
        ? <p class="soft">No worker has had it.</p>
        : (
          <div class="scroll-x scroll-y">
            <table class="plain">
              <thead>
                <tr>
                  <th scope="col">Worker</th>
                  <th scope="col">Host</th>
                  <th scope="col">Since</th>
                  <th scope="col">Until</th>
                </tr>
              </thead>
              <tbody>
                {file.holders.map((holder) => (
                  <tr key={`${holder.workerId} ${holder.readyAtMs}`}>
                    <td>
                      <WorkerLink workerId={holder.workerId} />
                    </td>
                    <td>{holder.host ?? UNKNOWN}</td>
                    <td>{instant(holder.readyAtMs, nowMs)}</td>
                    <td>
                      {holder.goneAtMs === null ? "still there" : instant(holder.goneAtMs, nowMs)}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </section>
  );
}
