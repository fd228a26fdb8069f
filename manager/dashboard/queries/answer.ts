/**
 * Answers every question of the dashboard from a `monitoring.db`: of a run that goes on, of one that
 * has ended, of one whose manager was killed. It only reads.
 *
 * @module
 */

import type { DatabaseSync } from "node:sqlite";

import { unreachable } from "../../../shared/assert.ts";
import type { Answers, Question } from "../api.ts";
import { answerApps, answerCall, answerCalls } from "./calls.ts";
import { answerFile, answerFiles, answerLevels } from "./files.ts";
import { answerGraph } from "./graph.ts";
import { answerOverview } from "./overview.ts";
import { answerRun } from "./run.ts";
import { answerTask } from "./task.ts";
import { answerTasks } from "./tasks.ts";
import { answerTimeline } from "./timeline.ts";
import { answerTransfers } from "./transfers.ts";
import { answerVine } from "./vine.ts";
import { answerWorker, answerWorkers } from "./workers.ts";

/** Answers a question that `readQuestion` has accepted. */
export function answer<Kind extends Question["kind"]>(
  db: DatabaseSync,
  question: Extract<Question, { readonly kind: Kind }>,
): Answers[Kind];
export function answer(db: DatabaseSync, question: Question): Answers[Question["kind"]] {
  switch (question.kind) {
    case "run":
      return answerRun(db);
    case "overview":
      return answerOverview(db, question);
    case "tasks":
      return answerTasks(db, question);
    case "task":
      return answerTask(db, question.taskId);
    case "timeline":
      return answerTimeline(db, question);
    case "workers":
      return answerWorkers(db);
    case "worker":
      return answerWorker(db, question.workerId);
    case "files":
      return answerFiles(db, question);
    case "levels":
      return answerLevels(db);
    case "file":
      return answerFile(db, question.fileId);
    case "transfers":
      return answerTransfers(db, question);
    case "vine":
      return answerVine(db, question);
    case "calls":
      return answerCalls(db, question);
    case "call":
      return answerCall(db, question.callId);
    case "apps":
      return answerApps(db);
    case "graph":
      return answerGraph(db, question.grouping);
    default:
      return unreachable(question);
  }
}
