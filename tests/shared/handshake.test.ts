/** The challenge: who knows the secret of a role gets in, and nobody else. */

import { expect, test } from "bun:test";

import { decodeFrame, encodeFrame } from "../../shared/codec.ts";
import {
  type Handshake,
  HANDSHAKE_BYTES_MAX,
  HANDSHAKE_ITEMS_MAX,
  type HandshakeMessage,
  type HandshakeState,
  newClientHandshake,
  newSecret,
  newServerHandshake,
} from "../../shared/handshake.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";

const secrets = { worker: newSecret(), client: newSecret(), viewer: newSecret() };

/** Carries messages between both sides, as frames, until neither has more to say. */
function meet(client: Handshake, server: Handshake): {
  client: HandshakeState;
  server: HandshakeState;
  said: HandshakeMessage[];
} {
  const said: HandshakeMessage[] = [];
  const states: { client: HandshakeState; server: HandshakeState } = {
    client: { kind: "pending" },
    server: { kind: "pending" },
  };
  let toServer = [...client.opening];
  while (toServer.length > 0) {
    const answers = deliver(toServer, server, "server");
    toServer = deliver(answers, client, "client");
  }
  return { ...states, said };

  function deliver(
    messages: readonly HandshakeMessage[],
    to: Handshake,
    name: "client" | "server",
  ): HandshakeMessage[] {
    said.push(...messages);
    const limits = { bytesMax: HANDSHAKE_BYTES_MAX, itemsMax: HANDSHAKE_ITEMS_MAX };
    const frames = encodeFrame(messages, { compress: false });
    return frames.flatMap((frame) => decodeFrame(frame, limits)).flatMap((message) => {
      const step = to.receive(message);
      states[name] = step.state;
      return [...step.send];
    });
  }
}

test("newServerHandshake() accepts each role by its own secret", () => {
  for (const role of ["worker", "client", "viewer"] as const) {
    const end = meet(newClientHandshake(role, secrets[role]), newServerHandshake(secrets));
    expect(end.server).toMatchObject({ kind: "accepted", role });
    expect(end.client).toMatchObject({ kind: "accepted", role });
  }
});

test("newServerHandshake() derives the client's session key, another for each connection", () => {
  const keys = [1, 2].map(() => {
    const end = meet(newClientHandshake("worker", secrets.worker), newServerHandshake(secrets));
    if (end.client.kind !== "accepted" || end.server.kind !== "accepted") throw end;
    expect(end.client.sessionKey).toEqual(end.server.sessionKey);
    const proofs = end.said.flatMap((message) => "proof" in message ? [message.proof] : []);
    expect(proofs.length).toBe(2);
    expect(proofs).not.toContainEqual(end.client.sessionKey);
    return end.client.sessionKey;
  });
  expect(keys[0]?.length).toBe(32);
  expect(keys[0]).not.toEqual(keys[1]);
});

test("newServerHandshake() never sends the secret", () => {
  const { said } = meet(newClientHandshake("worker", secrets.worker), newServerHandshake(secrets));
  const bytes = encodeFrame(said, { compress: false }).map((f) =>
    Buffer.from(f).toString("latin1")
  );
  expect(bytes.join("")).not.toContain(secrets.worker);
  expect(said.length).toBe(4);
});

test("newClientHandshake() refuses a manager that has another secret, and proves nothing to it", () => {
  const end = meet(newClientHandshake("worker", newSecret()), newServerHandshake(secrets));
  expect(end.client).toMatchObject({ kind: "refused", fault: "secret" });
  expect(end.said.map((message) => message.kind)).toEqual(["auth_hello", "auth_challenge"]);
});

test("newServerHandshake() refuses a client that has another secret, or none", () => {
  for (const secret of [newSecret(), "", secrets.worker]) {
    const server = newServerHandshake(secrets);
    // A client that would accept any manager: it answers with what it has.
    const liar = newClientHandshake("client", secret);
    const challenge = server.receive(liar.opening[0]).send[0];
    expect(challenge?.kind).toBe("auth_challenge");
    const own = newServerHandshake({ client: secret || "x" });
    const answer = liar.receive(own.receive(liar.opening[0]).send[0]).send[0] ??
      { kind: "auth_answer", proof: new Uint8Array(32) };
    expect(server.receive(answer).state).toMatchObject({ kind: "refused", fault: "secret" });
  }
});

test("newServerHandshake() refuses a proof that is missing, short or empty", () => {
  const hello = newClientHandshake("worker", secrets.worker).opening[0];
  for (const proof of [new Uint8Array(0), new Uint8Array(31), undefined, "text"]) {
    const server = newServerHandshake(secrets);
    server.receive(hello);
    expect(server.receive({ kind: "auth_answer", proof }).state.kind).toBe("refused");
  }
});

test("newServerHandshake() refuses a role that has no secret here", () => {
  const server = newServerHandshake({ worker: secrets.worker });
  const end = meet(newClientHandshake("client", secrets.worker), server);
  expect(end.server).toMatchObject({ kind: "refused", fault: "role" });
  expect(end.client).toMatchObject({ kind: "refused", fault: "role" });
  for (const role of ["manager", "__proto__", "constructor"]) {
    const hello = {
      kind: "auth_hello",
      protocol: PROTOCOL_VERSION,
      role,
      nonce: new Uint8Array(32),
    };
    const step = newServerHandshake(secrets).receive(hello);
    expect(step.state).toMatchObject({ kind: "refused", fault: "role" });
  }
});

test("newServerHandshake() refuses its own messages echoed back, as they are or as an answer", () => {
  const server = newServerHandshake(secrets);
  const hello = newClientHandshake("worker", secrets.worker).opening[0];
  const challenge = server.receive(hello).send[0];
  expect(server.receive(challenge).state).toMatchObject({ kind: "refused", fault: "message" });

  const other = newServerHandshake(secrets);
  const step = other.receive(hello);
  const { proof } = step.send[0] as HandshakeMessage & { kind: "auth_challenge" };
  expect(other.receive({ kind: "auth_answer", proof }).state).toMatchObject({
    kind: "refused",
    fault: "secret",
  });
});

test("newServerHandshake() refuses a proof made by another connection to the same manager", () => {
  // The attacker has no secret: it opens a second connection with the first one's nonce.
  const first = newServerHandshake(secrets);
  const nonce = new Uint8Array(32).fill(7);
  const hello = { kind: "auth_hello", protocol: PROTOCOL_VERSION, role: "worker", nonce };
  const challenge = first.receive(hello).send[0] as { nonce: Uint8Array };
  const second = newServerHandshake(secrets);
  const stolen = second.receive({ ...hello, nonce: challenge.nonce }).send[0] as {
    proof: Uint8Array;
  };
  const answer = { kind: "auth_answer", proof: stolen.proof };
  expect(first.receive(answer).state).toMatchObject({ kind: "refused", fault: "secret" });
});

test("newServerHandshake() refuses a whole conversation replayed", () => {
  const { said } = meet(newClientHandshake("worker", secrets.worker), newServerHandshake(secrets));
  const server = newServerHandshake(secrets);
  expect(server.receive(said[0]).state.kind).toBe("pending");
  expect(said[2]?.kind).toBe("auth_answer");
  expect(server.receive(said[2]).state).toMatchObject({ kind: "refused", fault: "secret" });
});

test("newClientHandshake() refuses a challenge and an acceptance that it did not ask for", () => {
  const { said } = meet(newClientHandshake("worker", secrets.worker), newServerHandshake(secrets));
  const replayed = newClientHandshake("worker", secrets.worker);
  expect(replayed.receive(said[1]).state).toMatchObject({ kind: "refused", fault: "secret" });
  const early = newClientHandshake("worker", secrets.worker);
  expect(early.receive({ kind: "auth_accepted" }).state.kind).toBe("refused");
});

test("newServerHandshake() names both protocol versions when they differ", () => {
  const client = newClientHandshake("worker", secrets.worker, 2);
  const end = meet(client, newServerHandshake(secrets, 3));
  const reason = "Cannot speak protocol 2 with a manager of protocol 3: " +
    "use the same version of tendril on both sides";
  expect(end.server).toEqual({ kind: "refused", fault: "protocol", reason });
  expect(end.client).toEqual({ kind: "refused", fault: "protocol", reason });
});

test("receive() refuses whatever comes after the end, and what is no message", () => {
  const server = newServerHandshake(secrets);
  const client = newClientHandshake("worker", secrets.worker);
  const { said } = meet(client, server);
  expect(said[2]?.kind).toBe("auth_answer");
  expect(server.receive(said[2]).state).toMatchObject({ kind: "refused", fault: "message" });
  expect(client.receive({ kind: "auth_accepted" }).state.kind).toBe("refused");
  for (const message of [undefined, null, 1, [], {}, { kind: "hello" }]) {
    expect(newServerHandshake(secrets).receive(message).state.kind).toBe("refused");
    expect(newClientHandshake("worker", "s").receive(message).state.kind).toBe("refused");
  }
});
