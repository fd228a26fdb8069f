import { spawn } from "node:child_process";
import { once } from "node:events";

import { expect, test } from "bun:test";

import { becomeSubreaper } from "../../shared/runtime/subreaper.ts";
import { endLeftovers } from "../../worker/leftovers.ts";
import { readProcess } from "../../worker/process_table.ts";
import { until } from "./task_fixture.ts";

const VARIABLE = "TENDRIL_TEST_MARK";

/** Leaves one process in its group, one in a session of its own, and one below that. */
const LEAVER = `
  sleep 600 & echo $!
  setsid sh -c 'sleep 600 & echo $! $$; wait' &
  read line
`;

/** Starts a leader that has left these processes when it is told to end. */
async function startLeaver(mark: string): Promise<{ ids: number[]; end(): Promise<number> }> {
  const env = { ...process.env, [VARIABLE]: mark };
  const leader = spawn("sh", ["-c", LEAVER], {
    env,
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
  });
  let text = "";
  leader.stdout.on("data", (chunk) => text += String(chunk));
  const ids = await until("ids", () => {
    const found = text.trim().split(/\s+/).map(Number);
    return found.length === 3 ? found : undefined;
  });
  return {
    ids,
    async end() {
      leader.stdin.end();
      await once(leader, "exit");
      return leader.pid!;
    },
  };
}

for (const way of ["adopted", "searched for"]) {
  test(`endLeftovers() ends what a leader left, and nothing of others, ${way}`, async () => {
    const subreaper = way === "adopted" ? await becomeSubreaper() : undefined;
    const [leaver, other] = await Promise.all([startLeaver("mine"), startLeaver("other")]);
    const groupId = await leaver.end();
    await endLeftovers({ groupId, mark: "mine", variable: VARIABLE }, subreaper);
    // Not even ended ones are left where the worker adopts them.
    const isGone = (id: number) => {
      const found = readProcess(id);
      return found === undefined || (subreaper === undefined && found.isZombie);
    };
    expect(leaver.ids.map(isGone)).toEqual([true, true, true]);
    expect(other.ids.map((id) => readProcess(id)?.isZombie)).toEqual([false, false, false]);
    await endLeftovers(
      { groupId: await other.end(), mark: "other", variable: VARIABLE },
      subreaper,
    );
    expect(other.ids.map(isGone)).toEqual([true, true, true]);
  });
}
