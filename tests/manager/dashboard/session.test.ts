import { expect, test } from "bun:test";

import {
  LINK_MS_MAX,
  LINKS_MAX,
  SESSION_MS_MAX,
  Sessions,
  SESSIONS_MAX,
  WRONG_MAX,
} from "../../../manager/dashboard/session.ts";

const SECRETS = { worker: "w", client: "c", viewer: "v" } as const;

/** Sessions, and the clock that they go by. */
function newSessions(): { readonly sessions: Sessions; readonly clock: { nowMs: number } } {
  const clock = { nowMs: 5 };
  return { sessions: new Sessions({ secrets: SECRETS, nowMs: () => clock.nowMs }), clock };
}

test("Sessions.open() takes a token once, with the right that it was made with", () => {
  const { sessions } = newSessions();
  const [look, act] = [sessions.newToken("look"), sessions.newToken("act")];
  expect(look).toMatch(/^[\w-]{43}$/);
  expect(sessions.open(look)?.session.right).toBe("look");
  expect(sessions.open(look)).toBeUndefined();
  expect(sessions.open(act)?.session.right).toBe("act");
  expect(sessions.open("")).toBeUndefined();
  expect(sessions.open(`${act}x`)).toBeUndefined();
});

test("Sessions.open() does not take a token that is too old", () => {
  const { sessions, clock } = newSessions();
  const [early, late] = [sessions.newToken("act"), sessions.newToken("act")];
  clock.nowMs += LINK_MS_MAX - 1;
  expect(sessions.open(early)?.session.right).toBe("act");
  clock.nowMs += 1;
  expect(sessions.open(late)).toBeUndefined();
});

test("Sessions.open() takes the secrets of clients and viewers, and not that of workers", () => {
  const { sessions } = newSessions();
  expect(sessions.open("c")?.session.right).toBe("act");
  expect(sessions.open("v")?.session.right).toBe("look");
  expect(sessions.open("w")).toBeUndefined();
  expect(sessions.bySecret("v")).toBe("look");
  expect(sessions.bySecret("w")).toBeUndefined();
  const locked = new Sessions({ secrets: { client: "" } });
  expect(locked.open("")).toBeUndefined();
});

test("Sessions.find() knows a session until it ends, is given up or is too old", () => {
  const { sessions, clock } = newSessions();
  const [first, second] = [sessions.open("c"), sessions.open("v")];
  const [firstId, secondId] = [first?.id ?? "", second?.id ?? ""];
  expect(firstId).not.toBe(secondId);
  expect(sessions.find(firstId)).toBe(first?.session);
  sessions.end(firstId);
  expect(sessions.find(firstId)).toBeUndefined();
  expect(sessions.isOpen(first!.session)).toBe(false);
  clock.nowMs += SESSION_MS_MAX - 1;
  expect(sessions.find(secondId)?.right).toBe("look");
  clock.nowMs += 1;
  expect(sessions.isOpen(second!.session)).toBe(false);
  expect(sessions.find(secondId)).toBeUndefined();
});

test("Sessions keeps so many links of each right, the newest", () => {
  const { sessions } = newSessions();
  const act = sessions.newToken("act");
  const tokens = Array.from({ length: LINKS_MAX + 1 }, () => sessions.newToken("look"));
  expect(sessions.open(tokens[0] ?? "")).toBeUndefined();
  expect(sessions.open(tokens[1] ?? "")?.session.right).toBe("look");
  expect(sessions.open(act)?.session.right).toBe("act");
});

test("Sessions keeps so many sessions of each right, those that were used last", () => {
  const { sessions } = newSessions();
  const acting = sessions.open("c")?.id ?? "";
  const opened = Array.from({ length: SESSIONS_MAX }, () => sessions.open("v"));
  const [first, second] = opened.map((one) => one?.id ?? "") as [string, string];
  sessions.find(first);
  sessions.open("v");
  expect(sessions.find(first)?.right).toBe("look");
  expect(sessions.find(second)).toBeUndefined();
  expect(opened[1]?.session.isEnded).toBe(true);
  expect(sessions.find(acting)?.right).toBe("act");
});

test("Sessions.noteWrong() has those wait who guess, and takes what is right all the same", () => {
  const { sessions, clock } = newSessions();
  const token = sessions.newToken("act");
  const waits = Array.from({ length: WRONG_MAX + 1 }, () => sessions.noteWrong());
  expect(waits.indexOf(true)).toBe(WRONG_MAX);
  expect(sessions.open(token)?.session.right).toBe("act");
  clock.nowMs += 60_000;
  expect(sessions.noteWrong()).toBe(false);
});
