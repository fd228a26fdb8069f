/** Tickets: good for what they say, at one server, until they expire. */

import { expect, test } from "bun:test";

import {
  checkTicket,
  issueTicket,
  readTicketHeader,
  type TicketClaims,
  ticketHeader,
} from "../../shared/ticket.ts";

const key = crypto.getRandomValues(new Uint8Array(32));
const claims: TicketClaims = {
  source: "worker-a",
  destination: "worker-b",
  method: "GET",
  name: "temp-w1-5",
  generation: 2,
  sizeBytes: 2 ** 40,
  digest: "ab".repeat(32),
  expiresAtMs: 1000,
};
const use = { server: "worker-a", method: "GET", name: "temp-w1-5", nowMs: 999 };

function reason(verdict: ReturnType<typeof checkTicket>): string {
  return verdict.kind === "ok" ? "ok" : verdict.reason;
}

test("checkTicket() accepts what issueTicket() wrote, and gives its claims", () => {
  expect(checkTicket(key, issueTicket(key, claims), use)).toEqual({ kind: "ok", claims });
  const put = { ...claims, method: "PUT" as const, destination: "manager" };
  const verdict = checkTicket(key, issueTicket(key, put), {
    ...use,
    method: "PUT",
    server: "manager",
  });
  expect(verdict.kind).toBe("ok");
});

test("checkTicket() refuses another server, method or name, and one that has expired", () => {
  const ticket = issueTicket(key, claims);
  const wrong = [
    { ...use, server: "worker-b" },
    { ...use, method: "PUT" },
    { ...use, method: "get" },
    { ...use, name: "temp-w1-6" },
    { ...use, nowMs: 1000 },
  ];
  expect(wrong.map((other) => reason(checkTicket(key, ticket, other)))).toEqual([
    'Cannot use ticket: it is for server "worker-a"',
    "Cannot use ticket: it is for method GET",
    "Cannot use ticket: it is for method GET",
    'Cannot use ticket: it is for file "temp-w1-5"',
    "Cannot use ticket: it has expired",
  ]);
});

test("checkTicket() refuses a ticket under another source's key", () => {
  const other = crypto.getRandomValues(new Uint8Array(32));
  const verdict = checkTicket(key, issueTicket(other, claims), use);
  expect(reason(verdict)).toBe("Cannot use ticket: it was not issued under this key");
});

test("checkTicket() refuses a ticket with any one character changed, added or removed", () => {
  const ticket = issueTicket(key, claims);
  for (let i = 0; i < ticket.length; i++) {
    const changed = ticket[i] === "A" ? "B" : "A";
    const texts = [
      ticket.slice(0, i) + changed + ticket.slice(i + 1),
      ticket.slice(0, i) + ticket.slice(i + 1),
      `${ticket.slice(0, i)}=${ticket.slice(i)}`,
    ];
    for (const text of texts) expect(checkTicket(key, text, use).kind).toBe("refused");
  }
});

test("checkTicket() takes one text per ticket: spare bits and padding are refused", () => {
  const ticket = issueTicket(key, claims);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const taken = [...alphabet].map((last) => ticket.slice(0, -1) + last)
    .filter((text) => checkTicket(key, text, use).kind === "ok");
  expect(taken).toEqual([ticket]);
  expect(checkTicket(key, `${ticket}=`, use).kind).toBe("refused");
});

test("checkTicket() refuses what is no ticket, however long", () => {
  for (const text of ["", ".", "a.b", "a.b.c", "x".repeat(1e6), ".".repeat(2000)]) {
    expect(checkTicket(key, text, use).kind).toBe("refused");
  }
  expect(reason(checkTicket(key, "x".repeat(5000), use))).toBe("Cannot use ticket: it is too long");
});

test("readTicketHeader() takes the ticket out of what ticketHeader() wrote", () => {
  expect(readTicketHeader(ticketHeader("a.b"))).toBe("a.b");
  expect(readTicketHeader("tendril a.b")).toBe("a.b");
  for (const header of [null, undefined, "", "Bearer a.b", "Tendril", "Tendril a b"]) {
    expect(readTicketHeader(header)).toBeUndefined();
  }
});
