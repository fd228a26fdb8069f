/** What no test of TaskVine covers, of several workers: peers, replicas, losses, features, names. */

import { expect, test } from "bun:test";

import { runWorkflow, watchWorkflow } from "./workflow.ts";

test("Two workers run tasks of one workflow at the same time (more than one worker)", async () => {
  const { outcomes, workerCount } = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    // Each waits until the other has started.
    const tasks = ["a", "b"].map((name) => {
      const other = name === "a" ? "b" : "a";
      const at = process.cwd();
      return manager.submit({
        command: `touch ${at}/${name}; until test -e ${at}/${other}; do sleep 0.01; done`,
      });
    });
    const results = await Promise.all(tasks);
    return {
      outcomes: results.map(({ outcome }) => outcome),
      workerCount: new Set(results.map(({ workerId }) => workerId)).size,
    };
  });
  expect(outcomes).toEqual(["success", "success"]);
  expect(workerCount).toBe(2);
});

for (const peerTransfer of [true, false]) {
  const way = peerTransfer ? "from one worker to the other" : "by way of the manager";
  test(`A temp goes ${way} (peer transfer: ${peerTransfer})`, async () => {
    const { bytes, outcomes, workerCount, copies } = await runWorkflow(
      async ({ Manager, startWorker, until }) => {
        await using manager = await Manager.start({
          policies: { peerTransfers: !process.argv.includes("--by-manager") },
        });
        for (let count = 0; count < 2; count++) await startWorker(manager);
        const temp = manager.temp();
        const made = await manager.submit({
          command: "head -c 1000000 /dev/zero > data",
          outputs: { data: temp },
        });
        // Both read it at the same time, so that one of them has to fetch it.
        const readers = ["a", "b"].map((name) => {
          const other = name === "a" ? "b" : "a";
          const at = process.cwd();
          return manager.submit({
            command: `touch ${at}/${name}; until test -e ${at}/${other}; do sleep 0.01; done; ` +
              "test $(wc -c < data) = 1000000",
            inputs: { data: temp },
          });
        });
        const results = [made, ...await Promise.all(readers)];
        await until(() => temp.replicaCount === 2, "both have it");
        return {
          bytes: manager.status().bytes,
          outcomes: results.map(({ outcome }) => outcome),
          workerCount: new Set(results.map(({ workerId }) => workerId)).size,
          copies: temp.replicaCount,
        };
      },
      { scriptArgs: peerTransfer ? [] : ["--by-manager"] },
    );
    expect(outcomes).toEqual(["success", "success", "success"]);
    expect([workerCount, copies]).toEqual([2, 2]);
    expect(bytes).toMatchObject(
      peerTransfer
        ? { workerToWorker: 1_000_000, workerToManager: 0, managerToWorker: 0 }
        : { workerToWorker: 0, workerToManager: 1_000_000, managerToWorker: 1_000_000 },
    );
  });
}

test("A temp with two replicas outlives a worker, and nothing runs again (replication)", async () => {
  const { read, made, recoveries } = await runWorkflow(async ({ Manager, startWorker, until }) => {
    const policies = { replicas: 2, reconnectGrace: "100ms" } as const;
    await using manager = await Manager.start({ policies });
    const maker = await startWorker(manager);
    const temp = manager.temp();
    const command = "head -c 100000 /dev/urandom > data; cksum < data";
    const made = await manager.submit({ command, outputs: { data: temp } });
    await startWorker(manager);
    await until(() => temp.replicaCount === 2, "there are two copies");
    maker.kill("SIGKILL");
    await until(() => temp.replicaCount === 1, "one copy is lost");
    const read = await manager.submit({ command: "cksum < data", inputs: { data: temp } });
    const { recoveries } = manager.status().tasks;
    return { read: read.stdout, made: made.stdout, recoveries };
  });
  expect(read).toBe(made);
  expect(recoveries).toBe(0);
});

test("A task of a worker that is killed runs at another one (worker loss)", async () => {
  const { result, runs } = await runWorkflow(async ({ Manager, startWorker, until }) => {
    const { readFileSync, existsSync } = await import("node:fs");
    await using manager = await Manager.start({ policies: { reconnectGrace: "100ms" } });
    const first = await startWorker(manager);
    const at = process.cwd();
    const task = manager.submit({
      command: `echo run >> ${at}/runs; test $TENDRIL_TRY = 2 || sleep 600; echo done`,
    });
    await until(() => existsSync("runs"), "it runs");
    first.kill("SIGKILL");
    await startWorker(manager);
    const { outcome, try: last, stdout } = await task;
    return { result: { outcome, last, stdout }, runs: readFileSync("runs", "utf8") };
  });
  expect(result).toEqual({ outcome: "success", last: 2, stdout: "done\n" });
  expect(runs).toBe("run\nrun\n");
});

test("A temp that was lost with its worker is made again when it is read (recovery)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker, until }) => {
    await using manager = await Manager.start({ policies: { reconnectGrace: "100ms" } });
    const first = await startWorker(manager);
    const [base, temp] = [manager.temp(), manager.temp()];
    await manager.submit({ command: "echo base > out", outputs: { out: base } });
    const made = manager.submit({
      command: "cat in > out; echo top >> out",
      inputs: { in: base },
      outputs: { out: temp },
    });
    await made;
    first.kill("SIGKILL");
    await until(() => temp.replicaCount === 0, "it is lost");
    await startWorker(manager);
    const { outcome, stdout } = await manager.submit({ command: "cat in", inputs: { in: temp } });
    const results = [];
    for await (const { id } of manager.completed()) results.push(id);
    return { outcome, stdout, recoveries: manager.status().tasks.recoveries, results };
  });
  // Both of the chain were run again, and the script saw neither.
  expect(report).toEqual({ outcome: "success", stdout: "base\ntop\n", recoveries: 2, results: [] });
});

test("A temp is pruned by hand, and when all that read it have succeeded (prune)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker, until }) => {
    await using manager = await Manager.start({ policies: { pruneTemps: "consumed" } });
    for (let count = 0; count < 2; count++) await startWorker(manager);
    const byHand = manager.temp({ replicas: 2 });
    await manager.submit({ command: "echo once > t", outputs: { t: byHand } });
    await until(() => byHand.replicaCount === 2, "both workers have it");
    await manager.prune(byHand);
    const pruned = byHand.replicaCount;
    const again = await byHand.text();
    const byUse = manager.temp({ release: "auto" });
    const making = manager.submit({ command: "echo 1 > t", outputs: { t: byUse } });
    await making;
    const made = byUse.replicaCount;
    await manager.submit({ command: "cat t", inputs: { t: byUse } });
    await until(() => byUse.replicaCount === 0, "it is pruned");
    return { pruned, again, made, recoveries: manager.status().tasks.recoveries };
  });
  expect(report).toEqual({ pruned: 0, again: "once\n", made: 1, recoveries: 1 });
});

test("A task with a feature waits for a worker that has it, and runs there (features)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker }) => {
    await using manager = await Manager.start();
    await startWorker(manager, { args: ["--feature", "sse"] });
    const special = manager.submit({ command: "true", features: ["avx512", "sse"] });
    const { workerId } = await manager.submit({ command: "true" });
    const before = special.state;
    await startWorker(manager, { args: ["--feature", "avx512", "--feature", "sse"] });
    const result = await special;
    return { before, outcome: result.outcome, isOther: result.workerId !== workerId };
  });
  expect(report).toEqual({ before: "ready", outcome: "success", isOther: true });
});

test("Tasks run in the order of their priorities, equal ones in turn (priorities)", async () => {
  const order = await runWorkflow(async ({ Manager, startWorker }) => {
    const { readFileSync } = await import("node:fs");
    await using manager = await Manager.start({ policies: { dispatchAhead: 1 } });
    const at = process.cwd();
    for (const [name, priority] of Object.entries({ a: 0, b: 5, c: -1.5, d: 5, e: 0.5 })) {
      manager.submit({ command: `echo ${name} >> ${at}/order`, priority });
    }
    await startWorker(manager);
    for await (const { outcome } of manager.completed()) if (outcome !== "success") return outcome;
    return readFileSync("order", "utf8");
  });
  expect(order).toBe("b\nd\ne\na\nc\n");
});

test("A worker without the manager's secret is turned away, in words (passwords)", async () => {
  const { report, said } = await watchWorkflow(async ({ Manager, spawnWorker, until }) => {
    const { mkdirSync, readFileSync, writeFileSync } = await import("node:fs");
    await using manager = await Manager.start({ name: "locked" });
    const access = JSON.parse(readFileSync("home/managers/locked.json", "utf8"));
    const worker = access.secrets.worker.replaceAll(
      /^./g,
      (first: string) => first === "A" ? "B" : "A",
    );
    mkdirSync("other/managers", { recursive: true });
    const copy = JSON.stringify({ ...access, secrets: { worker } });
    writeFileSync("other/managers/locked.json", copy, { mode: 0o600 });
    const stranger = spawnWorker("locked", { home: `${process.cwd()}/other` });
    await until(() => stranger.exitCode !== null, "the stranger gives up");
    return { code: stranger.exitCode, joined: manager.status().workers.connected };
  });
  expect(report).toEqual({ code: 1, joined: 0 });
  expect(said).toContain('Cannot join manager "locked"');
  expect(said).toContain("secret");
});

test("A worker finds its manager by its name, also one that comes later (catalog)", async () => {
  const joined = await runWorkflow(async ({ Manager, spawnWorker, until }) => {
    const early = spawnWorker("named-later");
    await using other = await Manager.start({ name: "named-otherwise" });
    await using manager = await Manager.start({ name: "named-later" });
    spawnWorker("named-later");
    await until(() => manager.status().workers.connected === 2, "both have joined");
    return { early: early.exitCode, other: other.status().workers.connected };
  });
  expect(joined).toEqual({ early: null, other: 0 });
});

test("A mini task that fails fails what needs it, with its words (mini task failure)", async () => {
  const { results, other } = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    const broken = manager.miniTask({ command: "echo no luck >&2; exit 3" }, "out");
    const empty = manager.miniTask({ command: "true" }, "out");
    const tasks = [broken, empty].map((data) =>
      manager.submit({ command: "cat data", inputs: { data } })
    );
    const other = await manager.submit({ command: "echo fine" });
    return { results: await Promise.all(tasks), other: other.stdout };
  });
  expect(results.map(({ outcome }) => outcome)).toEqual(["transfer_failed", "transfer_failed"]);
  expect(results[0]?.message).toContain("no luck");
  expect(results[1]?.message).toContain("out");
  expect(other).toBe("fine\n");
});

test("What a workflow left for ever is there for the next one (restart with forever cache)", async () => {
  const sent = await runWorkflow(async ({ Manager }) => {
    const { writeFileSync } = await import("node:fs");
    writeFileSync("genome", "ACGT".repeat(50_000));
    const sent: number[] = [];
    for (const cache of ["forever", "forever", "worker"] as const) {
      const workspace = `${process.cwd()}/kept`;
      await using manager = await Manager.start({ workers: { count: 1, workspace } });
      const genome = manager.file("genome", { cache });
      const { stdout } = await manager.submit({ command: "wc -c < genome", inputs: { genome } });
      if (stdout.trim() !== "200000") throw new Error(stdout);
      sent.push(manager.status().bytes.managerToWorker);
    }
    return sent;
  });
  expect(sent.slice(0, 2)).toEqual([200_000, 0]);
});
