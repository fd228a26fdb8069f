import { expect, test } from "bun:test";

import { nextWakeAtMs } from "../../../manager/core/step.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

test("step() sends what tasks have in common once", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 3 });
  fixture.submits({}, {}, {});
  const message = fixture.toldOf("a", "dispatch");
  expect(message?.shapes.length).toBe(1);
  expect(message?.tasks.map(({ shape }) => shape)).toEqual([0, 0, 0]);
});

test("step() names each shape's own environments in one message", () => {
  const fixture = new ManagerFixture();
  const environment = fixture.environment("env", fixture.local("env.tar"));
  fixture.joins("a", { cores: 3 });
  fixture.submits({ environments: [environment], cores: 1 }, { cores: 2 });
  const message = fixture.toldOf("a", "dispatch");
  expect(message?.shapes.map(({ environments }) => environments)).toEqual([["env"], []] as never);
});

test("step() acknowledges a result in a durable send with its settle before it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.finishes("a", task);
  expect(fixture.instructions.map(({ kind }) => kind)).toEqual(["settle", "send"]);
  expect(fixture.instructions[1]).toMatchObject({
    durable: true,
    messages: [{ kind: "result_ack", tries: [{ taskId: task, try: 1 }] }],
  });
});

test("step() ignores messages of a connection that was given up", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const result = fixture.result("a", task);
  const old = fixture.session("a");
  fixture.breaks("a");
  fixture.returns("a", { tries: [{ taskId: task, try: 1, phase: "running" }] });
  const message = { kind: "result", result } as const;
  fixture.feed({ kind: "message_received", workerId: idOf("a"), session: old, message });
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.finishes("a", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("nextWakeAtMs() is the end of a grace", () => {
  const fixture = new ManagerFixture({ reconnectGraceMs: 700 });
  expect(nextWakeAtMs(fixture.state)).toBeUndefined();
  fixture.joins("a");
  fixture.passes(50);
  fixture.breaks("a");
  expect(nextWakeAtMs(fixture.state)).toBe(750);
  fixture.passes(700);
  expect(fixture.state.workers.size).toBe(0);
});

test("step() cancels all tasks and answers all requests when the workflow is over", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp] });
  const later = fixture.submits({ inputs: [temp] });
  fixture.feed({ kind: "file_requested", fileId: temp, requestId: 7 });
  fixture.feed({ kind: "closed", reason: "done" });
  expect([fixture.outcome(maker), fixture.outcome(later)]).toEqual(["cancelled", "cancelled"]);
  const answers = fixture.instructions.filter(({ kind }) => kind === "file_delivered");
  expect(answers).toMatchObject([{ requestId: 7, isDelivered: false }]);
  expect(fixture.told("a").map(({ kind }) => kind)).toContain("release");
  const late = fixture.submits({});
  expect(fixture.outcome(late)).toBe("cancelled");
});
